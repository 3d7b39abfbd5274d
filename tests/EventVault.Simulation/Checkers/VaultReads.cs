using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Simulation.Checkers;

/// <summary>Reads a vault's storage as its services do, and makes of it what a client would see.</summary>
internal static class VaultReads
{
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public static ReadAnswer Read(VaultStorage storage, ReadRequest request)
    {
        var answer = new ReadAnswer { Head = storage.Head.Value };
        switch (request.Kind)
        {
            case ReadKind.Events:
                ReadStream(storage.Reader, request, answer.Events);
                break;
            case ReadKind.All:
                ReadAll(storage.Reader, request, answer.Events);
                break;
            case ReadKind.StreamHead:
                ReadStream(storage.Reader, request with { From = long.MaxValue, Backwards = true, Most = 1 }, answer.Events);
                break;
            case ReadKind.List:
                answer.Streams.AddRange(storage.Streams.List(default, Encoding.UTF8.GetBytes(request.Stream), request.Most)
                    .Select(s => (Encoding.UTF8.GetString(s.Name), s.LastVersion.Value, s.LastPosition.Value)));
                break;
            case ReadKind.Time:
                answer.Position = storage.Reader.FirstAtOrAfter(request.From).Value;
                break;
        }

        return answer;
    }

    private static void ReadStream(EventReader reader, ReadRequest request, List<SeenEvent> into)
    {
        var stream = reader.Reference(Encoding.UTF8.GetBytes(request.Stream));
        var last = reader.LastVersion(stream);
        var until = request.Backwards ? 0 : last.Value;
        var from = request.Backwards ? Math.Min(request.From, last.Value) : request.From;
        var sink = new Sink(into, request.Most);
        while (into.Count < request.Most && last.Value >= 0 && (request.Backwards ? from >= until : from <= until))
        {
            var read = reader.ReadStream(stream, new StreamVersion(from), new StreamVersion(until), request.Backwards, ref sink);
            Require.That(Rules.ReadTrue, read > 0, $"version {from} of {request.Stream} can't be read, the last one is {last}.");
            from += request.Backwards ? -read : read;
        }
    }

    private static void ReadAll(EventReader reader, ReadRequest request, List<SeenEvent> into)
    {
        var sink = new Sink(into, request.Most);
        var from = request.Backwards ? Math.Min(request.From, reader.Head.Value) : request.From;
        while (into.Count < request.Most)
        {
            var read = reader.ReadAll(new Position(from), new Position(request.Backwards ? 0 : long.MaxValue), request.Backwards, ref sink);
            if (read == 0)
            {
                return;
            }

            from += request.Backwards ? -read : read; // Events that are left out count, too.
            if (from < 0)
            {
                return;
            }
        }
    }

    private readonly struct Sink(List<SeenEvent> into, int most) : IEventSink
    {
        public bool Accept(in EventView e)
        {
            into.Add(new SeenEvent(Encoding.UTF8.GetString(e.Stream), e.Version.Value, e.Position.Value, e.RecordedAt, ContentDigest.Of(e.EventData)));
            return into.Count < most;
        }
    }
}
