namespace EventVault.Node.Tests.Support;

/// <summary>Bounded waits: generous, because the machine may be busy, and never the thing that decides a test.</summary>
internal static class Wait
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var end = DateTime.UtcNow + Limit;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Limit} for: {what}");
            await Task.Delay(5);
        }
    }
}
