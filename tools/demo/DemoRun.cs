using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using EventVault.Client;

namespace EventVault.Demo;

/// <summary>
/// The whole of EventVault in a minute: a real node on a real disk, real events, and a kill -9. Every claim that is
/// printed was checked right before; the first one that does not hold ends the run with exit code 1.
/// </summary>
internal sealed class DemoRun : IAsyncDisposable
{
    private const int ImportedBatches = 9072;
    private const int ImportedEvents = 25_214;
    private const int LiveEvents = 20;
    private const int AppendsInFlight = 200;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _folder;
    private readonly (int Grpc, int Http) _ports = NodeProcess.FreePorts();
    private readonly VaultClient _client;
    private readonly List<Written> _written = [];
    private NodeProcess? _node;
    private string _pastAnswer = "";
    private int _step;

    private DemoRun(string folder)
    {
        _folder = folder;
        _client = VaultClient.Connect(Endpoint);
    }

    private string Endpoint => $"http://127.0.0.1:{_ports.Grpc}";

    private string DataDirectory => Path.Combine(_folder, "vault");

    /// <summary>Runs it.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync()
    {
        var clock = Stopwatch.StartNew();
        var folder = Directory.CreateTempSubdirectory("eventvault-demo-").FullName;
        try
        {
            await using (var demo = new DemoRun(folder))
            {
                // Also when the demo itself is told to end, its node must not stay behind.
                AppDomain.CurrentDomain.ProcessExit += (_, _) => demo._node?.KillNow();
                await demo.RunStepsAsync();
            }

            Console.WriteLine();
            Console.WriteLine($"Every check held. {Seconds(clock.Elapsed)} in all; the temporary vault is gone again.");
            return 0;
        }
#pragma warning disable CA1031 // The process boundary: whatever goes wrong, the demo has not shown what it claims.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Console.WriteLine();
            Console.WriteLine($"FAILED: {(e is BrokenPromiseException or VaultException ? e.Message : e.ToString())}");
            return 1;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        if (_node is not null)
        {
            await _node.DisposeAsync();
        }
    }

    private async Task RunStepsAsync()
    {
        await StartNodeAsync("A node, with nothing but a folder");
        await ImportAsync();
        await AppendAsync();
        await ReadAsync();
        await SubscribeAsync();
        await AskThePastAsync();
        await KillUnderLoadAsync();
        await ProveAsync();
        await AskThePastAgainAsync();
        await StopAndVerifyAsync();
    }

    private async Task StartNodeAsync(string title)
    {
        Step(title);
        var clock = Stopwatch.StartNew();
        _node = await NodeProcess.StartAsync(DataDirectory, _ports.Grpc, _ports.Http);
        Say($"process {_node.Id} serves {Endpoint} from {DataDirectory}; ready after {Seconds(clock.Elapsed)}");
    }

    private async Task ImportAsync()
    {
        Step("Import the history of a large C project: 2,206 source files, 15 years");
        var expected = $"{{\"appends\":{ImportedBatches},\"events\":{ImportedEvents},\"deduplicated\":0,\"lastPosition\":{ImportedEvents - 1}}}";
        await ImportOnceAsync(expected, "each batch one atomic append, each flushed to disk before it was acknowledged");
        Say("and once more:");
        await ImportOnceAsync(
            expected.Replace("\"deduplicated\":0", $"\"deduplicated\":{ImportedBatches}", StringComparison.Ordinal), "all of it was there already, so nothing was added");
    }

    private async Task ImportOnceAsync(string expected, string meaning)
    {
        Say("$ vault-admin import tests/data/redis-history.jsonl.gz --json");
        var clock = Stopwatch.StartNew();
        var (exitCode, output) = await ChildProcess.AdminAsync("import", Places.History, "--endpoint", Endpoint, "--json");
        Check.That(exitCode == 0, $"The import ended with exit code {exitCode}: {output}");
        Check.Equal(expected, output);
        Say($"{output}  in {Seconds(clock.Elapsed)}: {meaning}");
    }

    private async Task AppendAsync()
    {
        Step("Append, and a conflict");
        const string stream = "order-17";
        var first = await WriteAsync(stream, ExpectedVersion.NoStream, EventData.JsonText("OrderPlaced", """{"customer":"ada","total":"129.90"}"""));
        Check.Equal((ulong)ImportedEvents, first.FirstPosition);
        Check.Equal(0UL, first.LastVersion);
        var second = await WriteAsync(stream, ExpectedVersion.Exact(0), EventData.JsonText("OrderPaid", """{"by":"card"}"""));
        Check.Equal(first.FirstPosition + 1, second.FirstPosition);
        Check.Equal(1UL, second.LastVersion);
        try
        {
            await _client.AppendAsync(stream, ExpectedVersion.Exact(0), EventData.JsonText("OrderCancelled", "{}"));
            throw new BrokenPromiseException("An append with a wrong expected version was written.");
        }
        catch (WrongExpectedVersionException e)
        {
            Check.Equal(ExpectedVersion.Exact(0), e.Expected);
            Check.Equal(1UL, e.Actual);
            Say($"OrderCancelled, decided on version 0: refused, expected version {e.Expected}, actual version {e.Actual}; nothing was written");
        }
    }

    private async Task<AppendResult> WriteAsync(string stream, ExpectedVersion expected, EventData e)
    {
        var clock = Stopwatch.StartNew();
        var answer = await _client.AppendAsync(stream, expected, e);
        _written.Add(new Written(stream, e, answer));
        Say($"{e.Type}: {stream} version {answer.LastVersion}, position {answer.FirstPosition} of the vault, durable after {Milliseconds(clock.Elapsed)}{(_written.Count == 1 ? ", connecting included" : "")}");
        return answer;
    }

    private async Task ReadAsync()
    {
        Step("Read one stream of the 2,207");
        const string stream = "file-src/server.h";
        var clock = Stopwatch.StartNew();
        var count = 0;
        var last = default(RecordedEvent);
        await foreach (var e in _client.ReadStreamAsync(stream))
        {
            Check.Equal((ulong)count++, e.Version);
            last = e;
        }

        Check.That(last is not null, $"{stream} has no events.");
        Say($"{stream}: {count} events, versions 0 to {last!.Version}, in {Milliseconds(clock.Elapsed)}; the last one, of {last.OccurredAt:yyyy-MM-dd}, at position {last.Position}");
    }

    private async Task SubscribeAsync()
    {
        Step("A live subscription");
        await using var subscription = _client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
        await subscription.GetHeadAsync();
        var received = Channel.CreateUnbounded<(RecordedEvent Event, long At)>();
        var pump = Task.Run(async () =>
        {
            await foreach (var e in subscription.EventsAsync())
            {
                received.Writer.TryWrite((e, Stopwatch.GetTimestamp()));
                if (e.Stream == "order-18" && e.Version == LiveEvents - 1)
                {
                    return;
                }
            }
        });
        var times = new List<TimeSpan>();
        for (var i = 0; i < LiveEvents; i++)
        {
            var e = EventData.JsonText("OrderTouched", $"{{\"n\":{i}}}");
            var start = Stopwatch.GetTimestamp();
            var answer = await _client.AppendAsync("order-18", ExpectedVersion.Any, e);
            _written.Add(new Written("order-18", e, answer));
            var (live, at) = await received.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            Check.Equal(answer.FirstPosition, live.Position);
            Check.Equal(e.Id, live.Id);
            times.Add(Stopwatch.GetElapsedTime(start, at));
        }

        await pump.WaitAsync(Patience);
        times.Sort();
        Say($"{LiveEvents} events appended, {LiveEvents} received, each once and in order; from the call of append to the subscriber, flush included: median {Milliseconds(times[LiveEvents / 2])}, slowest {Milliseconds(times[^1])}");
    }

    private async Task AskThePastAsync()
    {
        Step($"How many lines had {PastAnswer.Stream["file-".Length..]} on {PastAnswer.Day[..10]}? The state as of any moment");
        _pastAnswer = await AskAsync("--occurred", PastAnswer.Day);
        var state = JsonDocument.Parse(_pastAnswer).RootElement.GetProperty("state").GetRawText();
        Check.Equal(await PastAnswer.FromFileAsync(), state);
        Say($"{state}: as adding up the imported file gives, too");
    }

    private async Task AskThePastAgainAsync()
    {
        Step("The same question again, after a kill -9 and all that was appended since");
        var token = JsonDocument.Parse(_pastAnswer).RootElement.GetProperty("token").GetString()!;
        var again = await AskAsync("--token", token);

        // Only the clock, up to which nothing can be recorded any more, has gone on.
        Check.Equal(WithoutClosedTime(_pastAnswer), WithoutClosedTime(again));
        Say($"the same answer to the byte, hash {JsonDocument.Parse(again).RootElement.GetProperty("stateHash").GetString()![..16]}…, and so it stays");
    }

    private async Task<string> AskAsync(string option, string value)
    {
        Say($"$ vault-admin state {PastAnswer.Stream} --slots \"{PastAnswer.Slots}\" {option} {value} --json");
        var clock = Stopwatch.StartNew();
        var (exitCode, output) = await ChildProcess.AdminAsync(
            "state", PastAnswer.Stream, "--slots", PastAnswer.Slots, option, value, "--endpoint", Endpoint, "--json");
        Check.That(exitCode == 0, $"The question ended with exit code {exitCode}: {output}");
        Say($"{output[..(output.IndexOf("\"occurredAt\"", StringComparison.Ordinal) - 1)]}, …}}  in {Seconds(clock.Elapsed)}, the start of a process included");
        return output;
    }

    private static string WithoutClosedTime(string answer)
    {
        var cut = JsonNode.Parse(answer)!;
        cut["cut"]!.AsObject().Remove("closedTime");
        return cut.ToJsonString();
    }

    private async Task KillUnderLoadAsync()
    {
        Step($"kill -9 with {AppendsInFlight} appends in flight");
        var acknowledged = 0;
        var killed = false;
        var writers = Enumerable.Range(0, AppendsInFlight).Select(writer => Task.Run(async () =>
        {
            var written = new List<Written>();
            while (!Volatile.Read(ref killed))
            {
                var e = EventData.JsonText("Measured", $"{{\"writer\":{writer},\"n\":{written.Count}}}");
                var stream = $"load-{writer}";
                written.Add(new Written(stream, e, await _client.AppendAsync(stream, ExpectedVersion.Any, e)));
                Interlocked.Increment(ref acknowledged);
            }

            return written;
        })).ToList();
        var clock = Stopwatch.StartNew();
        while (Volatile.Read(ref acknowledged) < AppendsInFlight && clock.Elapsed < Patience)
        {
            await Task.Delay(1);
        }

        await Task.Delay(Random.Shared.Next(50, 300));
        await _node!.KillAsync();
        Volatile.Write(ref killed, true);
        var before = Volatile.Read(ref acknowledged);
        Say($"killed after {Milliseconds(clock.Elapsed)} and {before:N0} acknowledged appends; those in flight are unanswered, and the client goes on trying by itself");
        await _node.DisposeAsync();
        await StartNodeAsync("Start it again on the same folder");
        var all = (await Task.WhenAll(writers).WaitAsync(Patience + Patience)).SelectMany(w => w).ToList();
        _written.AddRange(all);
        Say($"all {all.Count:N0} are acknowledged now, {all.Count - before:N0} of them by the new process; {all.Count(w => w.Answer.Deduplicated):N0} of these had been written before the kill and had only lost their answer");
    }

    private async Task ProveAsync()
    {
        Step("Proof: read the whole vault and hold it against the file");
        var clock = Stopwatch.StartNew();
        var proof = await Proof.RunAsync(_client, _written);
        Check.Equal(ImportedEvents, proof.Imported);
        Check.Equal((ulong)(ImportedEvents + _written.Count), proof.Events);
        Say($"{proof.Imported:N0} imported events equal to the file in every field and in order; {_written.Count:N0} appended ones at the positions that were acknowledged");
        Say($"positions 0 to {proof.Events - 1} without a gap, versions of {proof.Streams:N0} streams without a gap, nothing twice");
        Say($"{proof.Answers:N0} answers from the source repository (lines of a file after a commit) come out of the events; all in {Seconds(clock.Elapsed)}");
    }

    private async Task StopAndVerifyAsync()
    {
        Step("Stop it in order, and check every byte of its log");
        var clock = Stopwatch.StartNew();
        Check.Equal(0, await _node!.StopAsync());
        Say($"SIGTERM: exit code 0 after {Seconds(clock.Elapsed)}");
        Say("$ vault-admin verify DIR --json");
        clock.Restart();
        var (exitCode, output) = await ChildProcess.AdminAsync("verify", DataDirectory, "--json");
        Check.Equal($"{{\"events\":{ImportedEvents + _written.Count},\"damage\":[]}}", output);
        Check.Equal(0, exitCode);
        Say($"{output}  in {Seconds(clock.Elapsed)}");
    }

    private void Step(string title)
    {
        Console.WriteLine();
        Console.WriteLine($"{++_step}. {title}");
    }

    private static void Say(string what) => Console.WriteLine("   " + what);

    private static string Seconds(TimeSpan time) => time.TotalSeconds.ToString("N2", CultureInfo.InvariantCulture) + " s";

    private static string Milliseconds(TimeSpan time) => time.TotalMilliseconds.ToString("N1", CultureInfo.InvariantCulture) + " ms";
}
