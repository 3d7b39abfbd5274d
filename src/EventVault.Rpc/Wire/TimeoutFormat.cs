using System.Globalization;

namespace EventVault.Rpc.Wire;

// grpc-timeout: one to eight digits and one of H M S m u n. Written rounded up, so that the peer never gives up
// earlier than was asked.
internal static class TimeoutFormat
{
    /// <summary>Eight digits are the most that the protocol allows.</summary>
    private const long MaxDigitsValue = 99_999_999;

    public static string Format(TimeSpan timeout)
    {
        var ticks = Math.Max(timeout.Ticks, 0);
        var (value, unit) = RoundUp(ticks, TimeSpan.TicksPerMicrosecond) is var micros and <= MaxDigitsValue ? (micros, 'u')
            : RoundUp(ticks, TimeSpan.TicksPerMillisecond) is var millis and <= MaxDigitsValue ? (millis, 'm')
            : RoundUp(ticks, TimeSpan.TicksPerSecond) is var seconds and <= MaxDigitsValue ? (seconds, 'S')
            : RoundUp(ticks, TimeSpan.TicksPerMinute) is var minutes and <= MaxDigitsValue ? (minutes, 'M')
            : (Math.Min(RoundUp(ticks, TimeSpan.TicksPerHour), MaxDigitsValue), 'H');
        return string.Create(CultureInfo.InvariantCulture, $"{value}{unit}");
    }

    public static bool TryParse(ReadOnlySpan<char> text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > 9)
        {
            return false;
        }

        long value = 0;
        foreach (var c in text[..^1])
        {
            if (!char.IsAsciiDigit(c))
            {
                return false;
            }

            value = (value * 10) + (c - '0');
        }

        long ticks;
        switch (text[^1])
        {
            case 'H': ticks = Saturate(value, TimeSpan.TicksPerHour); break;
            case 'M': ticks = Saturate(value, TimeSpan.TicksPerMinute); break;
            case 'S': ticks = Saturate(value, TimeSpan.TicksPerSecond); break;
            case 'm': ticks = Saturate(value, TimeSpan.TicksPerMillisecond); break;
            case 'u': ticks = Saturate(value, TimeSpan.TicksPerMicrosecond); break;
            case 'n': ticks = RoundUp(value, TimeSpan.NanosecondsPerTick); break;
            default: return false;
        }

        timeout = new TimeSpan(ticks);
        return true;
    }

    private static long RoundUp(long value, long unit) => (value / unit) + (value % unit == 0 ? 0 : 1);

    private static long Saturate(long value, long unit) => value > long.MaxValue / unit ? long.MaxValue : value * unit;
}
