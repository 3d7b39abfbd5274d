using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text;
using EventVault.Client;

namespace EventVault.FaultLab.Tests;

/// <summary>
/// One stream of the model. Its one writer says what it is about to do before it does it, and what was acknowledged after. So
/// what every read must and may show is known at any moment, whatever is on its way. What an event holds follows from stream
/// and version.
/// </summary>
/// <param name="Writer">Number of its writer.</param>
/// <param name="Number">Its own number, counted by the writer.</param>
internal sealed record ModelStream(int Writer, int Number)
{
    private readonly Lock _lock = new();
    private readonly List<ulong> _positions = [];
    private (long First, long Last) _acknowledged = (0, -1);
    private (long First, long Last) _begun = (0, -1);

    public string Category => $"c{Number % 3}";

    public string Name => $"{Category}-{Writer}-{Number}";

    /// <summary>The first visible and the last version: as acknowledged, and as it will be once all that was begun is done.</summary>
    public (long First, long Last, long LaterFirst, long LaterLast) Versions
    {
        get
        {
            lock (_lock)
            {
                return (_acknowledged.First, _acknowledged.Last, _begun.First, _begun.Last);
            }
        }
    }

    public void BeginAppend(int events)
    {
        lock (_lock)
        {
            _begun.Last += events;
        }
    }

    public void BeginTruncate(long before)
    {
        lock (_lock)
        {
            _begun.First = Math.Max(_begun.First, before);
        }
    }

    /// <summary>What was begun last is done.</summary>
    /// <param name="firstPosition">Where it was written, for an append.</param>
    public void Acknowledge(ulong? firstPosition = null)
    {
        lock (_lock)
        {
            for (var position = firstPosition; position is { } p && _positions.Count <= _begun.Last; position = p + 1)
            {
                _positions.Add(p);
            }

            _acknowledged = _begun;
        }
    }

    public ulong? PositionOf(long version)
    {
        lock (_lock)
        {
            return version < _positions.Count ? _positions[(int)version] : null;
        }
    }

    public EventData Event(long version)
    {
        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteInt32BigEndian(id, Writer);
        BinaryPrimitives.WriteInt32BigEndian(id[4..], Number);
        BinaryPrimitives.WriteInt64BigEndian(id[8..], version + 1);
        var size = 100 + (int)(((version * 7919) + (Number * 104_729L)) % 1900);
        return new EventData(Type(version), Encoding.UTF8.GetBytes($"{{\"v\":{version},\"x\":\"{new string((char)('a' + (version % 26)), size)}\"}}"))
        {
            Id = new Guid(id, bigEndian: true),
            Tags = [Tag(version)],
        };
    }

    public static string Type(long version) => $"type-{version % 5}";

    public static string Tag(long version) => $"tag-{version % 7}";
}

/// <summary>What is in the vault, as far as anybody can know.</summary>
internal sealed class LifeModel
{
    private readonly ConcurrentDictionary<string, ModelStream> _streams = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<ulong, (string Stream, ulong Version)> _positions = new();

    public ICollection<ModelStream> Streams => _streams.Values;

    /// <summary>Adds a stream before anything is written to it.</summary>
    public ModelStream Add(int writer, int number)
    {
        var stream = new ModelStream(writer, number);
        Assert.True(_streams.TryAdd(stream.Name, stream));
        return stream;
    }

    /// <summary>What a read that begins now must know of.</summary>
    public Moment Begin() => new(this, _streams.Values.ToDictionary(s => s.Name, s => (s.Versions.First, s.Versions.Last), StringComparer.Ordinal));

    /// <summary>One event that was read: it must be what was written there, whenever and however it is read.</summary>
    private ModelStream CheckEvent(RecordedEvent e)
    {
        Assert.True(_streams.TryGetValue(e.Stream, out var stream), $"Nobody wrote to {e.Stream}.");
        var written = stream.Event((long)e.Version);
        Assert.Equal((written.Id, written.Type), (e.Id, e.Type));
        Assert.Equal(written.Tags, e.Tags);
        Assert.True(written.Data.Span.SequenceEqual(e.Data.Span), $"Event {e.Version} of {e.Stream} has other data.");
        var place = (e.Stream, e.Version);
        Assert.Equal(place, _positions.GetOrAdd(e.Position, place));
        Assert.True(stream.PositionOf((long)e.Version) is not { } position || position == e.Position, $"Event {e.Version} of {e.Stream} has moved.");
        return stream;
    }

    /// <summary>The model when a read was sent.</summary>
    /// <param name="model">The model.</param>
    /// <param name="before">First visible and last versions, as acknowledged then.</param>
    internal sealed class Moment(LifeModel model, Dictionary<string, (long First, long Last)> before)
    {
        /// <summary>Holds what was read against what was visible all the time, and what may have been visible at some time.</summary>
        /// <param name="events">What was read.</param>
        /// <param name="backwards">In which order.</param>
        /// <param name="wanted">Which streams and versions were asked for, of those at known positions.</param>
        public void Check(IReadOnlyList<RecordedEvent> events, bool backwards, Func<ModelStream, long, bool> wanted)
        {
            var seen = new HashSet<(string, long)>();
            ulong? last = null;
            foreach (var e in events)
            {
                var stream = model.CheckEvent(e);
                Assert.True(last is null || (backwards ? e.Position < last : e.Position > last), $"Position {e.Position} comes behind {last}.");
                last = e.Position;
                var (first, end) = Allowed(stream);
                var version = (long)e.Version;
                Assert.True(version >= first && version <= end, $"Event {version} of {stream.Name} was read; only {first} to {end} could be.");
                Assert.True(wanted(stream, version), $"Event {version} of {stream.Name} was read and not asked for.");
                seen.Add((stream.Name, version));
            }

            foreach (var stream in model.Streams)
            {
                var (first, end) = Required(stream);
                for (var version = first; version <= end; version++)
                {
                    Assert.True(!wanted(stream, version) || seen.Contains((stream.Name, version)), $"Event {version} of {stream.Name} was not read.");
                }
            }
        }

        /// <summary>Holds a count against them.</summary>
        public void CheckCount(ulong count, Func<ModelStream, long, bool> wanted)
        {
            var (least, most) = (0UL, 0UL);
            foreach (var stream in model.Streams)
            {
                least += Count(Required(stream));
                most += Count(Allowed(stream));

                ulong Count((long First, long Last) range)
                {
                    var found = 0UL;
                    for (var version = range.First; version <= range.Last; version++)
                    {
                        found += wanted(stream, version) ? 1UL : 0;
                    }

                    return found;
                }
            }

            Assert.InRange(count, least, most);
        }

        /// <summary>Holds a listing, or the want of one stream, against them.</summary>
        public void CheckNames(IReadOnlyCollection<string> names, Func<ModelStream, bool> wanted)
        {
            var found = names.ToHashSet(StringComparer.Ordinal);
            Assert.Equal(names.Count, found.Count);
            foreach (var stream in model.Streams.Where(wanted))
            {
                var (must, may) = (Required(stream), Allowed(stream));
                Assert.True(must.First > must.Last || found.Contains(stream.Name), $"{stream.Name} is missing.");
                Assert.True(may.First <= may.Last || !found.Contains(stream.Name), $"{stream.Name} was found, and has no events.");
            }
        }

        // Visible from before the read was sent until now, when it has ended.
        private (long First, long Last) Required(ModelStream stream) =>
            (stream.Versions.LaterFirst, before.TryGetValue(stream.Name, out var then) ? then.Last : -1);

        // Visible at some time in between.
        private (long First, long Last) Allowed(ModelStream stream) =>
            (before.TryGetValue(stream.Name, out var then) ? then.First : 0, stream.Versions.LaterLast);
    }
}
