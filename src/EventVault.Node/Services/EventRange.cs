using EventVault.Storage;
using EventVault.Storage.Queries;
using EventVault.Temporal;

namespace EventVault.Node.Services;

/// <summary>What a read still has to read: positions of the whole vault, filtered or not, or versions of one stream.</summary>
internal sealed class EventRange(EventReader reader, StreamReference? stream, EventFilter? filter, bool backwards)
{
    /// <summary>
    /// Looks into the log before a call comes up for air: a read that leaves nearly everything out must still notice that
    /// its client is gone.
    /// </summary>
    private const int MostLooks = 64;

    /// <summary>The next position or version.</summary>
    public long Next { get; set; }

    /// <summary>The last one, inclusive.</summary>
    public long Last { get; set; }

    /// <summary>Of one stream, forwards: whether events that can't be read any more are handed out, and each of them must be there.</summary>
    public bool TakesHidden { get; init; }

    /// <summary>Whether everything has been read.</summary>
    public bool IsDone => backwards ? Next < Last : Next > Last;

    /// <summary>Reads on into a page, until it is full, the range is done, or it is time to come up for air.</summary>
    /// <exception cref="DamageException">What comes next is damaged; the events before it are in the page.</exception>
    /// <exception cref="StreamChangedException">With <see cref="TakesHidden"/>: events were scavenged meanwhile.</exception>
    public void ReadInto(EventPage page)
    {
        var sink = new EventPage.Sink(page);
        for (var looks = 0; looks < MostLooks && !page.IsFull && !IsDone; looks++)
        {
            if (filter is not null)
            {
                reader.ReadMatching(filter, new Position(Next), new Position(Last), backwards, ref sink, out var next);
                Invariant.Check(backwards ? next.Value < Next : next.Value > Next, "Every look gets on.");
                Next = next.Value;
                continue;
            }

            if (TakesHidden)
            {
                ReadWritten(page, ref sink);
                continue;
            }

            var read = stream is { } one
                ? reader.ReadStream(one, new StreamVersion(Next), new StreamVersion(Last), backwards, ref sink)
                : reader.ReadAll(new Position(Next), new Position(Last), backwards, ref sink);
            Invariant.Check(read > 0, "Whatever lies in the range is committed and can be read.");
            Next += backwards ? -read : read;
        }
    }

    private void ReadWritten(EventPage page, ref EventPage.Sink sink)
    {
        Invariant.Check(stream is not null && !backwards);
        var before = page.Remaining;
        var read = reader.ReadWritten(stream.Value, new StreamVersion(Next), new StreamVersion(Last), ref sink);
        if (before - page.Remaining != read)
        {
            throw new StreamChangedException();
        }

        Next += read;
    }
}
