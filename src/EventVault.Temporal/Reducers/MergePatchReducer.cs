using System.Buffers;
using System.Text.Json;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Reducers;

/// <summary>
/// The state of any stream of JSON without a definition: every event's data is merged into it as RFC 7396 says. Members are
/// set, null removes them, objects are merged, all else is replaced.
/// </summary>
public sealed class MergePatchReducer : Reducer
{
    private MergePatchReducer()
    {
    }

    /// <summary>There is only one.</summary>
    public static MergePatchReducer Instance { get; } = new();

    /// <inheritdoc/>
    public override string Definition => "merge_patch";

    /// <inheritdoc/>
    public override FoldState Start(FoldLimits limits) => new State(limits);

    /// <inheritdoc/>
    public override FoldState Restore(ReadOnlySpan<byte> saved, FoldLimits limits)
    {
        var reader = new SavedStateReader(saved);
        var state = new State(limits, reader.Counts(), reader.Bytes());
        reader.End();
        return state;
    }

    private sealed class State : FoldState
    {
        // What a state is before the first event that says something.
        private static readonly byte[] Nothing = "null"u8.ToArray();

        private readonly FoldLimits _limits;
        private JsonObject? _object;
        private byte[] _leaf = Nothing;
        private long _bytes;

        public State(FoldLimits limits) => _limits = limits;

        public State(FoldLimits limits, FoldCounts counts, ReadOnlySpan<byte> json)
        {
            if (!JsonText.IsValid(json))
            {
                throw new InvalidDataException("A saved state is not JSON.");
            }

            _limits = limits;
            var reader = JsonText.Read(json);
            reader.Read();
            if (reader.TokenType == JsonTokenType.StartObject)
            {
                _object = new JsonObject();
                _bytes = _object.Fill(ref reader);
            }
            else
            {
                _leaf = json.ToArray();
            }

            Counts = counts;
        }

        public override long Bytes => _object is null ? _leaf.Length : _bytes;

        public override void Apply(in FoldEvent e)
        {
            if (!e.IsJson || !JsonText.IsValid(e.Data))
            {
                Counts = Counts with { Events = Counts.Events + 1, Skipped = Counts.Skipped + 1 };
                return;
            }

            var reader = JsonText.Read(e.Data);
            reader.Read();
            if (reader.TokenType == JsonTokenType.StartObject)
            {
                if (_object is null)
                {
                    (_object, _bytes) = (new JsonObject(), 0);
                }

                _bytes += _object.Merge(ref reader);
            }
            else
            {
                var canonical = new ArrayBufferWriter<byte>();
                JsonText.WriteCanonical(ref reader, canonical);
                (_object, _leaf) = (null, canonical.WrittenSpan.ToArray());
            }

            Counts = Counts with { Events = Counts.Events + 1 };
            if (Bytes > _limits.StateBytes)
            {
                throw new StateTooLargeException(Bytes, _limits.StateBytes);
            }
        }

        public override void WriteJson(IBufferWriter<byte> to)
        {
            if (_object is null)
            {
                to.Write(_leaf);
            }
            else
            {
                _object.Write(to);
            }
        }

        public override void Save(IBufferWriter<byte> to)
        {
            var json = new ArrayBufferWriter<byte>();
            WriteJson(json);
            var writer = new SavedStateWriter(to);
            writer.Counts(Counts);
            writer.Bytes(json.WrittenSpan);
        }
    }
}
