using System.Buffers;
using EventVault.Storage.Log;
using EventVault.Temporal.Expressions;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Reducers;

/// <summary>Folds events into named values, each an aggregate of an expression; for each key of its own, if it has one.</summary>
public sealed class SlotsReducer : Reducer
{
    private readonly SlotDefinition _definition;

    private SlotsReducer(SlotDefinition definition) => (_definition, Definition) = (definition, definition.ToString());

    /// <inheritdoc/>
    public override string Definition { get; }

    /// <summary>Makes a reducer of a text such as <c>lines = SUM(data.delta), n = COUNT(*) BY data.author</c>.</summary>
    /// <exception cref="ExpressionException">The text is no definition of slots.</exception>
    public static SlotsReducer Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new(SlotDefinition.Parse(text));
    }

    /// <inheritdoc/>
    public override FoldState Start(FoldLimits limits) => new State(_definition, limits);

    /// <inheritdoc/>
    public override FoldState Restore(ReadOnlySpan<byte> saved, FoldLimits limits)
    {
        var state = new State(_definition, limits);
        state.Restore(saved);
        return state;
    }

    private sealed class State : FoldState
    {
        /// <summary>What a slot takes beside what it keeps: a number, its name, a comma.</summary>
        private const int SlotBytes = 32;

        private readonly SlotDefinition _definition;
        private readonly FoldLimits _limits;
        private readonly ExpressionWork _work;
        private readonly Field[] _fields;
        private readonly SlotState[] _whole;
        private readonly Dictionary<byte[], SlotState[]> _keyed = new(Utf8Comparer.Ordinal);
        private readonly Dictionary<byte[], SlotState[]>.AlternateLookup<ReadOnlySpan<byte>> _byKey;
        private long _bytes;

        public State(SlotDefinition definition, FoldLimits limits)
        {
            (_definition, _limits) = (definition, limits);
            _fields = new Field[definition.Fields.Count];
            _work = new ExpressionWork(_fields.Length);
            _whole = new SlotState[definition.Slots.Count];
            _byKey = _keyed.GetAlternateLookup<ReadOnlySpan<byte>>();
            _bytes = definition.Key is null ? SlotBytes * _whole.Length : 0;
        }

        public override long Bytes => _bytes;

        public override void Apply(in FoldEvent e)
        {
            _work.Reset();

            // Data that nobody looks at need not be JSON: events without can be counted.
            var row = new EventRow(e, _fields, _work);
            var isUsable = _fields.Length == 0 || (e.IsJson && _definition.Fields.TryFind(e.Data, _fields));
            var slots = !isUsable ? null : _definition.Key is null ? _whole : Keyed(_definition.Key.Evaluate(row));
            var errors = TakeFailure();
            if (slots is not null)
            {
                errors += Apply(row, slots);
            }

            Counts = new FoldCounts(
                Counts.Events + 1, Counts.Skipped + (slots is null ? 1 : 0), Counts.Mismatches + _work.Mismatches, Counts.Errors + errors);
            if (_bytes > _limits.StateBytes)
            {
                throw new StateTooLargeException(_bytes, _limits.StateBytes);
            }
        }

        public override void WriteJson(IBufferWriter<byte> to)
        {
            if (_definition.Key is null)
            {
                WriteSlots(_whole, to);
                return;
            }

            to.Write("{"u8);
            var isFirst = true;
            foreach (var (key, slots) in _keyed.OrderBy(k => k.Key, Utf8Comparer.Ordinal))
            {
                to.Write(isFirst ? ""u8 : ","u8);
                JsonText.WriteString(key, to);
                to.Write(":"u8);
                WriteSlots(slots, to);
                isFirst = false;
            }

            to.Write("}"u8);
        }

        public override void Save(IBufferWriter<byte> to)
        {
            var writer = new SavedStateWriter(to);
            writer.Counts(Counts);
            writer.Number(_keyed.Count);
            foreach (var (key, slots) in _keyed.OrderBy(k => k.Key, Utf8Comparer.Ordinal))
            {
                writer.Bytes(key);
                Save(slots, writer);
            }

            Save(_whole, writer);
        }

        public void Restore(ReadOnlySpan<byte> saved)
        {
            var reader = new SavedStateReader(saved);
            Counts = reader.Counts();
            for (var keys = reader.Number(); keys > 0; keys--)
            {
                var key = reader.Bytes().ToArray();
                Restore(Add(key), ref reader);
            }

            Restore(_whole, ref reader);
            reader.End();
        }

        private static void Save(SlotState[] slots, SavedStateWriter writer)
        {
            foreach (ref readonly var slot in slots.AsSpan())
            {
                slot.Save(writer);
            }
        }

        private void Restore(SlotState[] slots, ref SavedStateReader reader)
        {
            foreach (ref var slot in slots.AsSpan())
            {
                _bytes += slot.Restore(ref reader);
            }
        }

        private int Apply(in EventRow row, SlotState[] slots)
        {
            var (errors, held) = (0, _bytes);
            for (var i = 0; i < slots.Length; i++)
            {
                _work.Release(0); // The texts of the key and of the slots before are copied where they are kept.
                var slot = _definition.Slots[i];
                if (slot.Filter is null || slot.Filter.Evaluate(row).IsTrue)
                {
                    if (slot.Argument is null)
                    {
                        slots[i].Count();
                    }
                    else if (slot.Argument.Evaluate(row) is { IsNull: false } value)
                    {
                        _bytes += slots[i].Add(slot.Aggregate, value, _work);

                        // The slots behind this one can get shorter by what they hold, which is no more than was held before: the state
                        // is too large in any case. So a long value is not kept once for each slot before that is found.
                        if (_bytes - held > _limits.StateBytes)
                        {
                            throw new StateTooLargeException(_bytes, _limits.StateBytes);
                        }
                    }
                }

                errors += TakeFailure();
            }

            return errors;
        }

        private int TakeFailure()
        {
            var failed = _work.Failed;
            _work.Failed = false;
            return failed ? 1 : 0;
        }

        // Events without a key belong to no state.
        private SlotState[]? Keyed(Value key)
        {
            ReadOnlySpan<byte> text;
            switch (key.Kind)
            {
                case ValueKind.Text:
                    text = key.Bytes;
                    break;
                case ValueKind.Boolean:
                    text = key.IsTrue ? "true"u8 : "false"u8;
                    break;
                case ValueKind.Number:
                    var number = new ArrayBufferWriter<byte>(JsonNumber.MostDecimalBytes);
                    JsonNumber.Write(key.Number, number);
                    text = number.WrittenSpan;
                    break;
                case ValueKind.Null:
                    return null;
                default:
                    _work.Mismatch();
                    return null;
            }

            return _byKey.TryGetValue(text, out var slots) ? slots : Add(text.ToArray());
        }

        private SlotState[] Add(byte[] key)
        {
            var slots = new SlotState[_whole.Length];
            if (!_keyed.TryAdd(key, slots))
            {
                throw new InvalidDataException("A saved state has two equal keys.");
            }

            _bytes += key.Length + (SlotBytes * slots.Length);
            return slots;
        }

        // In the order of their names' bytes, as every object.
        private void WriteSlots(SlotState[] slots, IBufferWriter<byte> to)
        {
            to.Write("{"u8);
            var isFirst = true;
            foreach (var i in _definition.Order)
            {
                to.Write(isFirst ? ""u8 : ","u8);
                JsonText.WriteString(_definition.Slots[i].Name, to);
                to.Write(":"u8);
                slots[i].WriteJson(_definition.Slots[i].Aggregate, to);
                isFirst = false;
            }

            to.Write("}"u8);
        }
    }
}
