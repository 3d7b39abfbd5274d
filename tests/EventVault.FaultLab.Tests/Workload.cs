using System.Collections.Concurrent;
using System.Text;
using EventVault.Client;

namespace EventVault.FaultLab.Tests;

/// <summary>
/// Writers that append without pause through one client, and remember what they were told. An append whose outcome
/// the client could not learn is remembered as such: it may be there once, or not at all.
/// </summary>
internal sealed class Workload(VaultClient client, int writers)
{
    private readonly ConcurrentDictionary<Guid, (string Stream, ulong Version, ulong Position)> _acknowledged = new();
    private readonly ConcurrentDictionary<Guid, string> _unknown = new();

    public int Acknowledged => _acknowledged.Count;

    public int Unknown => _unknown.Count;

    /// <summary>Appends until cancelled. Every third append goes to two streams at once.</summary>
    public Task RunAsync(CancellationToken stop) => Task.WhenAll(Enumerable.Range(0, writers).Select(w => Task.Run(() => WriteAsync(w, stop), CancellationToken.None)));

    /// <summary>Reads the whole vault and holds it against what was acknowledged.</summary>
    public async Task CheckAsync(VaultClient reader)
    {
        var versions = new Dictionary<string, ulong>();
        var seen = new Dictionary<Guid, (string Stream, ulong Version, ulong Position)>();
        var next = 0UL;
        await foreach (var e in reader.ReadAllAsync())
        {
            Assert.Equal(next++, e.Position);
            Assert.Equal(versions.TryGetValue(e.Stream, out var last) ? last + 1 : 0, e.Version);
            versions[e.Stream] = e.Version;
            Assert.True(seen.TryAdd(e.Id, (e.Stream, e.Version, e.Position)), $"Event {e.Id} stands twice, the second time at position {e.Position}.");
            Assert.Equal(Content(e.Id), Encoding.UTF8.GetString(e.Data.Span));
        }

        foreach (var (id, told) in _acknowledged)
        {
            Assert.True(seen.TryGetValue(id, out var place), $"Event {id} was acknowledged at position {told.Position} and is lost.");
            Assert.Equal(told, place);
        }

        foreach (var (id, place) in seen)
        {
            Assert.True(_acknowledged.ContainsKey(id) || _unknown.ContainsKey(id), $"Nobody appended event {id} at position {place.Position}.");
        }
    }

    private static string Content(Guid id) => $"{{\"id\":\"{id}\",\"text\":\"{new string('x', id.ToByteArray()[15])}\"}}";

    private async Task WriteAsync(int writer, CancellationToken stop)
    {
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            var streams = new List<StreamAppend>();
            var ids = new List<(Guid Id, string Stream)>();
            foreach (var stream in i % 3 == 0 ? new[] { $"own-{writer}", $"shared-{i % 5}" } : [$"own-{writer}"])
            {
                var id = Guid.CreateVersion7();
                ids.Add((id, stream));
                streams.Add(new StreamAppend(stream, ExpectedVersion.Any, [new EventData("Tested", Encoding.UTF8.GetBytes(Content(id))) { Id = id }]));
            }

            try
            {
                var result = await client.AppendAsync(streams, cancellationToken: CancellationToken.None);
                for (var s = 0; s < ids.Count; s++)
                {
                    _acknowledged[ids[s].Id] = (ids[s].Stream, result.Streams[s].Version, result.FirstPosition + (ulong)s);
                }
            }
            catch (VaultException)
            {
                foreach (var (id, stream) in ids)
                {
                    _unknown[id] = stream;
                }

                await Task.Delay(50, CancellationToken.None);
            }
        }
    }
}
