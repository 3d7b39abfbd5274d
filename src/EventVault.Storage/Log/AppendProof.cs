// When the operation id of a retry's first attempt may be forgotten, the log itself can still prove that it was written: an
// append that expected exact versions has its events at exactly known places, or was never written.
namespace EventVault.Storage.Log;

/// <summary>Looks for an append by its events. Safe for concurrent use.</summary>
internal static class AppendProof
{
    /// <summary>
    /// The answer that the append was given, if each of its streams has an exact expected version, or none, and the events that
    /// follow it are this append's, by their ids, one behind the other and recorded together. Null: that can't be said.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public static AppendAnswer? Find(EventReader reader, AppendContent append)
    {
        var versions = new List<StreamVersion>(append.StreamCount);
        var names = new List<byte[]>(append.StreamCount);
        var sink = new IdSink { Append = append, First = Position.None };
        foreach (ref readonly var stream in append.Streams)
        {
            if (stream.Expected is not (ExpectedKind.Exact or ExpectedKind.NoStream))
            {
                return null;
            }

            var reference = reader.Reference(append.Name(stream));
            var expected = stream.Expected == ExpectedKind.Exact ? stream.ExpectedVersion : StreamVersion.None;
            if (reader.LastVersion(reference).Value - expected.Value < stream.EventCount)
            {
                return null; // Also for versions so large that none could follow them.
            }

            var next = expected + 1;
            var last = next + (stream.EventCount - 1);
            while (next <= last)
            {
                var seen = sink.Seen;
                var read = reader.ReadWritten(reference, next, last, ref sink);
                if (read == 0 || sink.Differs || sink.Seen - seen < read)
                {
                    return null; // Not this append, or a scavenge removed what would tell.
                }

                next += read;
            }

            versions.Add(last);
            names.Add(reference.Name);
        }

        Invariant.Check(sink.Seen == append.EventCount);
        return new AppendAnswer(sink.First, sink.First + (append.EventCount - 1), sink.RecordedAt, SameContent: true, versions, names);
    }

    private struct IdSink : IEventSink
    {
        public AppendContent Append;
        public Position First;
        public long RecordedAt;
        public int Seen;
        public bool Differs;

        public bool Accept(in EventView e)
        {
            if (Seen == 0)
            {
                (First, RecordedAt) = (e.Position, e.RecordedAt);
            }

            // All events of an append stand side by side, in its order, with one time.
            Differs = e.Position != First + Seen || e.RecordedAt != RecordedAt
                || !EventFields.TryReadId(e.EventData, out var there) || !EventFields.TryReadId(Append.Event(Seen), out var id) || there != id;
            Seen++;
            return !Differs;
        }
    }
}
