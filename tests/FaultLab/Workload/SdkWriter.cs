using EventVault.Client;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;

namespace EventVault.FaultLab.Workload;

/// <summary>
/// An application: appends to a stream of its own by the SDK, knowing several addresses, and reads back what it wrote. It does nothing itself about
/// nodes that are away or do not lead.
/// </summary>
internal sealed class SdkWriter(int number, WorkState state) : LabClient($"sdk-{number}", state)
{
    private const int EventBytes = 200;

    public long Calls { get; private set; }

    /// <summary>Calls that ended in an error other than an unknown outcome.</summary>
    public long Failed { get; private set; }

    public long Unknown { get; private set; }

    public long LongestMilliseconds { get; private set; }

    public string? FirstFailure { get; private set; }

    public override async Task RunAsync(CancellationToken stop)
    {
        var addresses = string.Join(',', State.Cluster.Nodes.Select(n => $"{n.Address}:{LabNode.Port}"));
        await using var client = VaultClient.Connect($"eventvaults://{addresses}", new VaultClientOptions { Tls = State.Cluster.Certificate.Trust });
        var version = -1L;
        while (!stop.IsCancellationRequested)
        {
            var append = await AppendAsync(client, version);
            await State.AddAsync(append);
            version = append.Versions.Count > 0 ? append.Versions[0] : version;
            if (version >= 0)
            {
                await State.AddAsync(await HeadAsync(client));
            }

            await PauseAsync(State.Options.PauseMilliseconds, stop);
        }
    }

    private string Stream => $"sdk-{number}";

    private async Task<AppendAttempt> AppendAsync(VaultClient client, long version)
    {
        var data = new byte[EventBytes];
        Random.NextBytes(data);
        var sent = new Protocol.EventData { Id = Google.Protobuf.ByteString.CopyFrom(Id().ToByteArray(bigEndian: true)), Type = "Tested", Data = Google.Protobuf.ByteString.CopyFrom(data) };
        var operation = Id();

        // What may or may not be written leaves its version open.
        var expected = Unknown > 0 ? Expected.Any : Expected.Exactly(version);
        var attempt = new AppendAttempt
        {
            Client = Name,
            OperationId = operation,
            Writes = [new StreamWrite(Stream, expected, [EventDigest.Of(Stream, Google.Protobuf.MessageExtensions.ToByteArray(sent))])],
            Invoked = Clock.Now,
        };
        var outcome = await TryAsync(() => client.AppendAsync(
            Stream,
            expected.Kind switch { ExpectedKind.Any => ExpectedVersion.Any, ExpectedKind.NoStream => ExpectedVersion.NoStream, _ => ExpectedVersion.Exact((ulong)version) },
            new EventData(sent.Type, data) { Id = new Guid(sent.Id.Span, bigEndian: true) },
            new AppendOptions { OperationId = operation }));
        attempt = attempt with { Completed = Clock.Now, Failure = outcome.Failure?.Message };
        return outcome switch
        {
            { Answer: { } answer } => attempt with
            {
                Outcome = answer.Deduplicated ? AppendOutcome.Duplicate : AppendOutcome.Written,
                FirstPosition = (long)answer.FirstPosition,
                LastPosition = (long)answer.LastPosition,
                Versions = [(long)answer.LastVersion],
                RecordedAt = (answer.RecordedAt - DateTimeOffset.UnixEpoch).Ticks,
            },
            { Failure.Code: VaultErrorCode.OutcomeUnknown or VaultErrorCode.TimedOut } => attempt with { Outcome = AppendOutcome.Unknown },
            _ => attempt with { Outcome = AppendOutcome.Refused },
        };
    }

    private async Task<HeadAttempt> HeadAsync(VaultClient client)
    {
        var attempt = new HeadAttempt { Client = Name, Stream = Stream, Level = Level.Linearizable, Invoked = Clock.Now };
        var (answer, failure) = await TryAsync(() => client.GetStreamAsync(Stream));
        return attempt with
        {
            Completed = Clock.Now,
            Failure = failure?.Message,
            LastVersion = (long?)answer?.LastVersion ?? -1,
            LastPosition = (long?)answer?.LastPosition ?? -1,
        };
    }

    private async Task<(T? Answer, VaultException? Failure)> TryAsync<T>(Func<Task<T>> call)
        where T : class
    {
        var began = Clock.Now;
        Calls++;
        try
        {
            return (await call(), null);
        }
        catch (VaultException e)
        {
            var isUnknown = e.Code == VaultErrorCode.OutcomeUnknown;
            Unknown += isUnknown ? 1 : 0;
            Failed += isUnknown ? 0 : 1;
            FirstFailure ??= isUnknown ? null : e.ToString();
            return (null, e);
        }
        finally
        {
            LongestMilliseconds = Math.Max(LongestMilliseconds, Clock.Milliseconds(Clock.Now - began));
        }
    }

    private Guid Id()
    {
        Span<byte> bytes = stackalloc byte[16];
        Random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
