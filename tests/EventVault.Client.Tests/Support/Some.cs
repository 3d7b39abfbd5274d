using System.Text;

namespace EventVault.Client.Tests.Support;

/// <summary>Events and settings for tests.</summary>
internal static class Some
{
    /// <summary>Retries that cost a test no time.</summary>
    public static readonly VaultClientOptions Quick = new()
    {
        Retry = new RetryPolicy { InitialDelay = TimeSpan.FromMilliseconds(1), MaxDelay = TimeSpan.FromMilliseconds(20) },
    };

    public static EventData Event(int number = 0) => new("happened", Encoding.UTF8.GetBytes($"{{\"n\":{number}}}"));

    public static async Task<List<T>> ToListAsync<T>(this IAsyncEnumerable<T> source)
    {
        var list = new List<T>();
        await foreach (T item in source)
        {
            list.Add(item);
        }

        return list;
    }
}
