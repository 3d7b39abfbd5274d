// The named reducers: what the events of `$reducers` say. Followed by version, so that nothing is read twice; a look when nothing
// came since costs one look-up of the stream's head. Newest versions are kept, older ones are read again when they are asked for.
using System.Collections.Immutable;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.States;

/// <summary>The named reducers as of the head. Safe for concurrent use.</summary>
internal sealed class ReducerRegistry
{
    private readonly EventReader _reader;
    private readonly StreamReference _stream;
    private readonly Lock _following = new();
    private volatile NamedReducers _known = NamedReducers.None;

    public ReducerRegistry(EventReader reader)
    {
        _reader = reader;
        _stream = reader.Reference(ReducersStream.Name);
    }

    /// <summary>All that are committed now.</summary>
    /// <exception cref="DamageException">A definition is damaged.</exception>
    public NamedReducers Current()
    {
        var last = _reader.LastVersion(_stream);
        if (_known.Through >= last)
        {
            return _known;
        }

        lock (_following)
        {
            if (_known.Through < last)
            {
                _known = Follow(_known, last);
            }

            return _known;
        }
    }

    /// <summary>A version of a reducer; null if there is none.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="version">Which one; 0: the newest.</param>
    /// <exception cref="DamageException">It is damaged.</exception>
    public DefinedReducer? Find(string name, uint version)
    {
        if (!Current().ByName.TryGetValue(name, out var named))
        {
            return null;
        }

        if (version == 0 || version == named.Newest.Version)
        {
            return named.Newest;
        }

        return version <= named.Versions.Count ? ReadAt(named.Versions[(int)version - 1]) : null;
    }

    /// <summary>What the event at a position defines; null if it is none of these events.</summary>
    /// <exception cref="DamageException">It is damaged.</exception>
    public DefinedReducer? ReadAt(Position position)
    {
        var sink = new Sink();
        _reader.ReadAll(position, position, backwards: false, ref sink);
        return sink.Last;
    }

    private NamedReducers Follow(NamedReducers known, StreamVersion last)
    {
        var all = known.ByName.ToBuilder();
        for (var next = known.Through + 1; next <= last;)
        {
            var found = new List<DefinedReducer>();
            var sink = new Sink { All = found };
            next += _reader.ReadStream(_stream, next, last, backwards: false, ref sink);
            foreach (var defined in found)
            {
                var versions = all.TryGetValue(defined.Name, out var named) ? named.Versions : [];

                // Numbers are given out under the head of `$reducers`, so they follow each other; what does not was not written by us.
                if (defined.Version == versions.Count + 1)
                {
                    all[defined.Name] = new NamedReducer(defined, versions.Add(defined.Position));
                }
            }
        }

        return new NamedReducers(last, all.ToImmutable());
    }

    private struct Sink : IEventSink
    {
        public List<DefinedReducer>? All { get; init; }

        public DefinedReducer? Last { get; private set; }

        public bool Accept(in EventView e)
        {
            if (e.Stream.SequenceEqual(ReducersStream.Name) && ReducerEvent.Read(e) is { } defined)
            {
                Last = defined;
                All?.Add(defined);
            }

            return true;
        }
    }
}

/// <summary>A reducer's newest version, and where all of them were defined.</summary>
/// <param name="Newest">The newest.</param>
/// <param name="Versions">Positions of version 1, 2, 3 …</param>
internal sealed record NamedReducer(DefinedReducer Newest, ImmutableList<Position> Versions);

/// <summary>The named reducers as of a version of <c>$reducers</c>. Nobody changes it.</summary>
/// <param name="Through">The last version that is in it; <see cref="StreamVersion.None"/>: none is.</param>
/// <param name="ByName">In the order of their names.</param>
internal sealed record NamedReducers(StreamVersion Through, ImmutableSortedDictionary<string, NamedReducer> ByName)
{
    /// <summary>As of the vault's beginning.</summary>
    public static NamedReducers None { get; } = new(StreamVersion.None, ImmutableSortedDictionary.Create<string, NamedReducer>(StringComparer.Ordinal));

    /// <summary>The newest versions that have a stream's category.</summary>
    public IEnumerable<DefinedReducer> Covering(byte[] stream) => ByName.Values.Select(r => r.Newest).Where(r => r.Covers(stream));

    /// <summary>The newest versions whose states are kept as events come.</summary>
    public IReadOnlyList<DefinedReducer> Eager { get; } = [.. ByName.Values.Select(r => r.Newest).Where(r => r is { Eager: true, Reducer: not null })];
}
