namespace EventVault.Client;

/// <summary>Times on the wire are 100 ns ticks since 1970, which is a DateTimeOffset's own precision.</summary>
internal static class VaultTime
{
    public static long ToTicks(DateTimeOffset time) => time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks;

    /// <summary>
    /// Ticks of the years 1 to 9999 exactly; others, which only a foreign client can have written, become the
    /// nearest end, because one absurd time must not make the events around it unreadable.
    /// </summary>
    public static DateTimeOffset FromTicks(long ticks)
    {
        long first = DateTimeOffset.MinValue.Ticks - DateTimeOffset.UnixEpoch.Ticks;
        long last = DateTimeOffset.MaxValue.Ticks - DateTimeOffset.UnixEpoch.Ticks;
        return new DateTimeOffset(Math.Clamp(ticks, first, last) + DateTimeOffset.UnixEpoch.Ticks, TimeSpan.Zero);
    }

    /// <summary>0 stands for "none" where a field says so.</summary>
    public static DateTimeOffset? FromTicksOrNone(long ticks) => ticks == 0 ? null : FromTicks(ticks);
}
