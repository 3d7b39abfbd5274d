using EventVault.Client;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using Google.Protobuf;

namespace EventVault.FaultLab.Workload;

/// <summary>
/// An application that does not wait: appends to a stream of its own over one session of the SDK, many at once, and counts them. What is
/// acknowledged must stand in the order in which it was sent, whatever becomes of the session meanwhile.
/// </summary>
internal sealed class SessionWriter(int number, WorkState state) : LabClient($"session-{number}", state)
{
    private const int MostInFlight = 64;

    // As many at once, then a pause: the machine has other things to do.
    private const int Burst = 16;
    private const int PauseMilliseconds = 120;
    private const int EventBytes = 100;

    // Well within what the checker lets a call take.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);

    private string Stream => $"session-{number}";

    public override async Task RunAsync(CancellationToken stop)
    {
        var addresses = string.Join(',', State.Cluster.Nodes.Select(n => $"{n.Address}:{LabNode.Port}"));
        var options = new VaultClientOptions { Tls = State.Cluster.Certificate.Trust, Sessions = 1, AppendTimeout = Timeout };
        await using var client = VaultClient.Connect($"eventvaults://{addresses}", options);
        using var room = new SemaphoreSlim(MostInFlight);
        var sequence = 0L;
        var last = Task.CompletedTask;
        while (!stop.IsCancellationRequested)
        {
            for (var i = 0; i < Burst; i++)
            {
                await room.WaitAsync(CancellationToken.None);

                // Sent before the call returns: one after the other.
                last = Task.WhenAll(last, AppendAsync(client, sequence++, room));
            }

            await PauseAsync(PauseMilliseconds, stop);
        }

        await last;
    }

    private async Task AppendAsync(VaultClient client, long sequence, SemaphoreSlim room)
    {
        var data = new byte[EventBytes];
        Random.NextBytes(data);
        var (operation, id) = (NewId(), NewId());
        var sent = new Protocol.EventData { Id = ByteString.CopyFrom(id.ToByteArray(bigEndian: true)), Type = "Counted", Data = ByteString.CopyFrom(data) };
        var attempt = new AppendAttempt
        {
            Client = Name,
            OperationId = operation,
            Sequence = sequence,
            Writes = [new StreamWrite(Stream, Expected.Any, [EventDigest.Of(Stream, sent.ToByteArray())])],
            Invoked = Clock.Now,
        };
        try
        {
            var answer = await client.AppendAsync(Stream, ExpectedVersion.Any, new EventData(sent.Type, data) { Id = id }, new AppendOptions { OperationId = operation });
            attempt = attempt with
            {
                Completed = Clock.Now,
                Outcome = answer.Deduplicated ? AppendOutcome.Duplicate : AppendOutcome.Written,
                FirstPosition = (long)answer.FirstPosition,
                LastPosition = (long)answer.LastPosition,
                Versions = [(long)answer.LastVersion],
                RecordedAt = (answer.RecordedAt - DateTimeOffset.UnixEpoch).Ticks,
            };
        }
        catch (VaultException e)
        {
            // The SDK's word: with every other code it was not written.
            var isUnknown = e.Code is VaultErrorCode.OutcomeUnknown or VaultErrorCode.RetryTooOld;
            attempt = attempt with { Completed = Clock.Now, Outcome = isUnknown ? AppendOutcome.Unknown : AppendOutcome.Refused, Failure = e.Message };
        }

        await State.AddAsync(attempt);
        room.Release();
    }

    private Guid NewId()
    {
        Span<byte> bytes = stackalloc byte[16];
        Random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
