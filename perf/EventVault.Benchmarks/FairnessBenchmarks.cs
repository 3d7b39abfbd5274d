using System.Diagnostics;
using System.Text;
using EventVault.Node;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>
/// What a modest writer waits for while others keep the queue of appends full, in process: the queue alone, without network. Once
/// with turns of its own, as each connection has them, and once within the turns of a flooding client: what first in, first
/// out would give it.
/// </summary>
internal sealed class FairnessBenchmarks(Report report, string directory)
{
    private const int FloodClients = 16;
    private const int InFlightEach = 64;
    private const int FloodBytes = 16 * 1024;
    private const int ModestBytes = 256;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    public async Task RunAsync(TimeSpan length)
    {
        report.Section(
            "A modest writer in a flood",
            $"{FloodClients} clients with {InFlightEach} appends of {FloodBytes / 1024} KiB on their way each, {FloodClients * InFlightEach * FloodBytes >> 20} MiB in the queue at any time; a writer of {ModestBytes} B events waits for each answer and then {Pause.TotalMilliseconds:0} ms. In process.");
        report.Head("modest writer", "appends", "p50 ms", "p99 ms", "longest", "flood, MiB/s", "groups a second", "p50 in groups");
        foreach (var (name, floods, own) in new[] { ("alone", false, true), ("in the flood, with turns of its own", true, true), ("in the flood, within another client's turns", true, false) })
        {
            var folder = Path.Combine(directory, "fairness");
            await using (var node = await Node.Node.StartAsync(new NodeOptions { Directory = folder }))
            {
                await RowAsync(node, name, floods, own, length);
                await node.StopAsync();
            }

            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task RowAsync(Node.Node node, string name, bool floods, bool own, TimeSpan length)
    {
        using var stop = new CancellationTokenSource();
        var clients = Enumerable.Range(0, FloodClients).Select(_ => new AppendClient()).ToArray();
        var flood = floods
            ? clients.SelectMany((client, c) => Enumerable.Range(0, InFlightEach).Select(i => Task.Run(() => FloodAsync(node, client, $"flood-{c}-{i}", stop.Token)))).ToArray()
            : [];
        await Task.Delay(length / 4);
        var (appends, groups, begun) = (node.Storage.Head.Value, node.Storage.CommitIndex.Value, Stopwatch.GetTimestamp());
        var modest = new Appender(node, own ? new AppendClient() : clients[0], "modest-1", ModestBytes);
        var waits = new List<double>();
        while (Stopwatch.GetElapsedTime(begun) < length)
        {
            var before = Stopwatch.GetTimestamp();
            await modest.AppendAsync();
            waits.Add(Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            await Task.Delay(Pause);
        }

        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        var (flooded, perSecond) = (node.Storage.Head.Value - appends - waits.Count, (node.Storage.CommitIndex.Value - groups) / seconds);
        await stop.CancelAsync();
        await Task.WhenAll(flood);
        waits.Sort();
        var p50 = waits[waits.Count / 2];
        report.Row(
            name, $"{waits.Count:#,0}", Report.Figure(p50), Report.Figure(waits[waits.Count * 99 / 100]), Report.Figure(waits[^1]),
            Report.Figure(flooded * (double)FloodBytes / 1048576 / seconds), Report.Figure(perSecond), Report.Figure(p50 / 1000 * perSecond));
    }

    private static async Task FloodAsync(Node.Node node, AppendClient client, string stream, CancellationToken stop)
    {
        var appender = new Appender(node, client, stream, FloodBytes);
        while (!stop.IsCancellationRequested)
        {
            await appender.AppendAsync();
        }
    }

    /// <summary>One append after the other of one client, to one stream.</summary>
    private sealed class Appender
    {
        private readonly Node.Node _node;
        private readonly AppendClient _client;
        private readonly SingleAppend _append;
        private readonly byte[] _bytes;
        private readonly int _name;
        private UInt128 _id = new((ulong)Random.Shared.NextInt64(), 0);

        public Appender(Node.Node node, AppendClient client, string stream, int payloadBytes)
        {
            var name = Encoding.UTF8.GetBytes(stream);
            (_node, _client, _append) = (node, client, new SingleAppend(node.Storage));
            (_bytes, _name) = ([.. name, .. EncodedEvent.Make(payloadBytes)], name.Length);
        }

        public async ValueTask AppendAsync()
        {
            _append.Reset();
            EncodedEvent.SetId(_bytes.AsSpan(_name), ++_id);
            _append.Content.Reset(_bytes);
            _append.Content.OperationId = _id;
            _append.Content.AddStream(0, _name, ExpectedKind.Any, StreamVersion.None);
            _append.Content.AddEvent(_name, _bytes.Length - _name);
            _append.Client = _client;
            _append.QueuedBytes = _bytes.Length;
            if (_append.Content.Check(out _, out _).Kind != EventProblemKind.None || await _node.AppendAsync(_append) != AppendOutcome.Appended)
            {
                throw new InvalidOperationException("The benchmark's append was not written.");
            }
        }
    }
}
