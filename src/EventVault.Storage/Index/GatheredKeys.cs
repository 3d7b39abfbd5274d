// Keys of events on their way into the index of a segment that is walked: a good part of the walk's work, of which nothing is needed
// before its end. So another thread puts them in, some thousands at a time, while the walk goes on. Of a walk that ends with a failure what was begun
// goes on for a moment, into an index that nobody has.
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>Gathers keys for an index at which nobody looks yet. One thread.</summary>
/// <param name="index">Where they go; nobody else adds any before <see cref="End"/>.</param>
internal sealed class GatheredKeys(ActiveKeys index)
{
    /// <summary>Keys put in at once: a millisecond or two, against which handing over is nothing.</summary>
    private const int RunKeys = 16 * 1024;

    private Run _filled = new(index, new Content());
    private Run? _under;

    /// <summary>The keys of the next event.</summary>
    public void Add(ReadOnlySpan<ulong> keys, uint ordinal)
    {
        if (_filled.Count + keys.Length > RunKeys)
        {
            // They must go in in their order, so there is one at a time.
            var next = _under?.TakeAndAgain() ?? new Run(index, new Content());
            _under = _filled;
            _under.Begin();
            _filled = next;
        }

        _filled.Add(keys, ordinal);
    }

    /// <summary>When it returns all keys are in the index.</summary>
    public void End()
    {
        _under?.Take();
        _filled.Take();
    }

    private sealed class Content
    {
        public readonly ulong[] Keys = new ulong[RunKeys];
        public readonly uint[] Ordinals = new uint[RunKeys];
    }

    private sealed class Run(ActiveKeys index, Content content) : WorkAhead
    {
        public int Count { get; private set; }

        public void Add(ReadOnlySpan<ulong> keys, uint ordinal)
        {
            keys.CopyTo(content.Keys.AsSpan(Count));
            content.Ordinals.AsSpan(Count, keys.Length).Fill(ordinal);
            Count += keys.Length;
        }

        public void Take() => End();

        /// <summary>Takes it, and gives another one in its place.</summary>
        public Run TakeAndAgain()
        {
            Take();
            return new Run(index, content);
        }

        protected override void Work()
        {
            for (var i = 0; i < Count; i++)
            {
                index.Add(new ReadOnlySpan<ulong>(in content.Keys[i]), content.Ordinals[i]);
            }
        }
    }
}
