// The C# of the README and of docs/CLUSTER.md: what stands between "tour:" and "end" is shown there, word by word. It is compiled, not run: it names ports and machines, and does not end.
using EventVault.Client;

namespace EventVault.Admin.Tests;

/// <summary>Holds together what they show.</summary>
internal static class ReadmeTour
{
    public static async Task RunAsync()
    {
        // tour: readme
        await using var vault = VaultClient.Connect("eventvault://127.0.0.1:7400");

        var placed = EventData.Json("OrderPlaced", new { customer = "ada", total = 129.90m });
        try
        {
            AppendResult answer = await vault.AppendAsync("order-17", ExpectedVersion.NoStream, placed);
            await vault.AppendAsync("order-17", ExpectedVersion.Exact(answer.LastVersion), EventData.Json("OrderPaid", new { by = "card" }));
        }
        catch (WrongExpectedVersionException e)
        {
            Console.WriteLine($"Somebody was faster: version {e.Actual}.");
        }

        await foreach (RecordedEvent e in vault.SubscribeToAllAsync().EventsAsync())
            Console.WriteLine($"{e.Position} {e.Stream}@{e.Version} {e.Type}");

        // end
    }

    public static async Task ConnectAsync()
    {
        // tour: cluster
        await using var vault = VaultClient.Connect("eventvault://10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400");
        // end
    }
}
