namespace EventVault.Client.Tests.Support;

/// <summary>Bounded waits: generous, because the machine may be busy, and never the thing that decides a test.</summary>
internal static class Wait
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>Fires when a wait has taken too long: a broken promise must fail its test, not hang it.</summary>
    public static CancellationToken Token => new CancellationTokenSource(Limit).Token;

    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        DateTime end = DateTime.UtcNow + Limit;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Limit} for: {what}");
            await Task.Delay(5);
        }
    }
}
