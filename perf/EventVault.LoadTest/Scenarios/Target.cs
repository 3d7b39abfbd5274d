using EventVault.Client;
using EventVault.LoadTest.Running;
using EventVault.Rpc;

namespace EventVault.LoadTest.Scenarios;

/// <summary>The vault that scenarios load, and what they all need for it.</summary>
/// <param name="Address">One or several nodes, as the SDK takes them.</param>
/// <param name="Clock">The run's.</param>
/// <param name="Options">What was asked for.</param>
internal sealed record Target(string Address, LoadClock Clock, Options Options)
{
    private static int Runs;

    public VaultClient Connect(VaultClientOptions? options = null) => VaultClient.Connect(Address, options);

    /// <summary>A part of names that no scenario has used on this vault before: the vault may be kept from run to run.</summary>
    public static string NewRun() => $"{Guid.NewGuid():N}"[..8] + Interlocked.Increment(ref Runs);

    /// <summary>What a failure is called: the vault's own code where it has one.</summary>
    public static string StatusOf(Exception e) => e switch
    {
        VaultException vault => vault.Code.ToString(),
        RpcException rpc => rpc.Status.Code.ToString(),
        _ => e.GetType().Name,
    };

    /// <summary>Appends events to many streams, interleaved as they are when many write at once.</summary>
    /// <param name="client">Of the vault.</param>
    /// <param name="stream">Name of a stream by its number.</param>
    /// <param name="streams">How many.</param>
    /// <param name="perStream">Events in each; a multiple of ten.</param>
    /// <param name="payload">Their data, in turn.</param>
    /// <returns>Positions of the first and the last one.</returns>
    public static async Task<(ulong First, ulong Last)> FillAsync(VaultClient client, Func<int, string> stream, int streams, int perStream, Values<byte[]> payload)
    {
        const int AtOnce = 10;
        const int InFlight = 256;
        var (first, last) = (ulong.MaxValue, 0UL);
        var window = new Queue<Task<AppendResult>>();
        for (var n = 0; n < streams * (perStream / AtOnce); n++)
        {
            var events = Enumerable.Range(0, AtOnce).Select(_ => new EventData(EventBytes.Type, payload.Next()));
            window.Enqueue(client.AppendAsync(stream(n % streams), ExpectedVersion.Any, events));
            if (window.Count > InFlight)
            {
                await TakeAsync();
            }
        }

        while (window.Count > 0)
        {
            await TakeAsync();
        }

        return (first, last);

        async Task TakeAsync()
        {
            var result = await window.Dequeue();
            (first, last) = (Math.Min(first, result.FirstPosition), Math.Max(last, result.LastPosition));
        }
    }
}
