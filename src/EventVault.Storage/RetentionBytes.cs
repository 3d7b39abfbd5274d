// How many of a stream's last events fit into so many bytes. Found by walking back from the last one; what was walked is
// remembered, so that a stream which gets a few events is looked at by those few and by what they push out.
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>Sums up the events of streams from their ends. One thread.</summary>
/// <param name="reader">Reads them.</param>
internal sealed class RetentionBytes(EventReader reader)
{
    /// <summary>Streams that are remembered, at some 100 bytes each; with more, all are forgotten and walked anew.</summary>
    public const int MostRemembered = 65_536;

    /// <summary>A page of large events ends here, in bytes: a checksum of so much takes some 0.1 ms.</summary>
    private const int PageBytes = 1024 * 1024;

    private readonly Dictionary<UInt128, Walk> _walks = [];
    private readonly List<(StreamVersion Version, int Bytes)> _page = [];
    private bool _isStale;

    /// <summary>Streams that are remembered.</summary>
    public int Count => _walks.Count;

    /// <summary>Forgets all streams.</summary>
    public void Clear() => _walks.Clear();

    /// <summary>
    /// Finds the first version of a stream that is kept: all, unless they take a tenth more than they may; then those that fit. A
    /// bounded piece of work: if it does not get to the end it remembers how far it came.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="visible">Its first version that can be read.</param>
    /// <param name="first">The first version that may be kept: those before it are due already.</param>
    /// <param name="last">Its last version, at or behind the first.</param>
    /// <param name="most">Bytes of <c>EventData</c> that are kept.</param>
    /// <param name="budget">Events that may be read; less by those that were, and at most 0 if that was not enough.</param>
    /// <param name="kept">The first version from which on the events fit, or all are little enough; the last one if not even that is.</param>
    /// <returns>False: call again.</returns>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public bool TryFindFirstKept(
        in StreamReference stream, StreamVersion visible, StreamVersion first, StreamVersion last, long most, ref int budget, out StreamVersion kept)
    {
        Invariant.Check(visible.Value >= 0 && visible <= first && first <= last && most > 0);
        kept = default;
        var bearable = most > long.MaxValue - (most / RetentionWork.SlackPart) ? long.MaxValue : most + (most / RetentionWork.SlackPart);
        var isNew = !_walks.Remove(stream.Key, out var walk);
        if (isNew || walk.Most != most || walk.From < visible || walk.Last > last || last.Value - walk.Last.Value > walk.Last.Value - walk.From.Value
            || (walk.Visible != visible && walk.From != visible))
        {
            // Nothing is known, or little of what counts now; or somebody truncated less than was due, and the rest may be bearable.
            walk = new Walk(visible, last + 1, last, Sum: 0, most, bearable, IsDone: false);
        }

        walk = walk with { Visible = visible };

        var isDone = Advance(stream, last, ref walk, ref budget) && GoBack(stream, first, ref walk, ref budget) && Drop(stream, first, ref walk, ref budget);
        if (_isStale)
        {
            _isStale = false;
            return false;
        }

        if (_walks.Count == MostRemembered)
        {
            _walks.Clear();
        }

        _walks.Add(stream.Key, walk);
        Invariant.Check(!isDone || (walk.From >= first && walk.From <= last && (walk.Sum <= bearable || walk.From == last)));
        kept = walk.From;
        return isDone;
    }

    // Events that came since.
    private bool Advance(in StreamReference stream, StreamVersion last, ref Walk walk, ref int budget)
    {
        while (walk.Last < last)
        {
            if (!Read(stream, walk.Last + 1, last, backwards: false, ref budget))
            {
                return false;
            }

            foreach (var (version, bytes) in _page)
            {
                walk = walk with { Last = version, Sum = walk.Sum + bytes };
            }
        }

        return true;
    }

    // Older events, as long as they are bearable. Once one did not, none ever will: what is behind it only grows.
    private bool GoBack(in StreamReference stream, StreamVersion first, ref Walk walk, ref int budget)
    {
        while (!walk.IsDone && walk.From > first)
        {
            if (!Read(stream, walk.From + -1, first, backwards: true, ref budget))
            {
                return false;
            }

            foreach (var (version, bytes) in _page)
            {
                if (version < walk.Last && walk.Sum + bytes > walk.Bearable)
                {
                    walk = walk with { IsDone = true };
                    break;
                }

                walk = walk with { From = version, Sum = walk.Sum + bytes };
            }
        }

        return true;
    }

    // Those that are due by another limit; and if the rest is too much, the oldest until it fits.
    private bool Drop(in StreamReference stream, StreamVersion first, ref Walk walk, ref int budget)
    {
        while (walk.From < first || (IsTooMuch(walk, first) && walk.Sum > walk.Most && walk.From < walk.Last))
        {
            var until = walk.From < first ? first + -1 : walk.Last + -1;
            if (!Read(stream, walk.From, until, backwards: false, ref budget))
            {
                return false;
            }

            foreach (var (version, bytes) in _page)
            {
                if (version < first)
                {
                    // It counts again should the reason go for which it is due: the rule may be replaced.
                    walk = walk with { From = version + 1, Sum = walk.Sum - bytes, IsDone = walk.Sum > walk.Bearable };
                }
                else if (IsTooMuch(walk, first) && walk.Sum > walk.Most)
                {
                    walk = walk with { From = version + 1, Sum = walk.Sum - bytes, IsDone = true };
                }
            }
        }

        return true;
    }

    // Events that may be kept were left out already, or are more than can be borne.
    private static bool IsTooMuch(in Walk walk, StreamVersion first) => walk.From > first || walk.Sum > walk.Bearable;

    // False: the budget is used up, or the stream was truncated meanwhile. Then what was summed up counts events that are gone,
    // and to go on with it could find events due that are not.
    private bool Read(in StreamReference stream, StreamVersion from, StreamVersion until, bool backwards, ref int budget)
    {
        if (budget <= 0)
        {
            return false;
        }

        _page.Clear();
        var sink = new LengthSink(_page, budget);
        var read = reader.ReadStream(stream, from, until, backwards, ref sink);
        budget -= Math.Max(1, read);
        _isStale = read == 0 || _page.Count != read;
        return !_isStale;
    }

    /// <param name="Visible">The first version that could be read then.</param>
    /// <param name="From">First version that was counted; one behind the last if none was.</param>
    /// <param name="Last">Last version that was counted.</param>
    /// <param name="Sum">What they take in bytes.</param>
    /// <param name="Most">For so many bytes.</param>
    /// <param name="Bearable">So many are left alone.</param>
    /// <param name="IsDone">Whether it ends there: with the event before the first one they are more than bearable, or were.</param>
    private readonly record struct Walk(StreamVersion Visible, StreamVersion From, StreamVersion Last, long Sum, long Most, long Bearable, bool IsDone);

    private struct LengthSink(List<(StreamVersion Version, int Bytes)> page, int most) : IEventSink
    {
        private int _bytes;

        public bool Accept(in EventView e)
        {
            page.Add((e.Version, e.EventData.Length));
            _bytes += e.EventData.Length;
            return _bytes < PageBytes && page.Count < most;
        }
    }
}
