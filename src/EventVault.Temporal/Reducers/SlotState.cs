using System.Buffers;
using EventVault.Storage.Log;
using EventVault.Temporal.Expressions;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Reducers;

/// <summary>What one slot has kept so far.</summary>
internal struct SlotState
{
    private long _count;
    private decimal _number;
    private ValueKind _kind;

    // Text: its bytes. JSON and large numbers: their canonical JSON.
    private byte[]? _bytes;
    private HashSet<byte[]>? _set;

    /// <summary>Takes a value that is not null.</summary>
    /// <returns>By how many bytes what is kept got longer.</returns>
    public long Add(Aggregate aggregate, in Value value, ExpressionWork work)
    {
        switch (aggregate)
        {
            case Aggregate.Count:
                _count++;
                return 0;
            case Aggregate.Sum or Aggregate.Avg:
                AddNumber(value, work);
                return 0;
            case Aggregate.First:
                return _kind == ValueKind.Null ? Keep(value, work) : 0;
            case Aggregate.Last:
                return Keep(value, work);
            case Aggregate.SetAdd:
                return AddToSet(value, work);
            default:
                return KeepExtreme(value, aggregate == Aggregate.Min, work);
        }
    }

    /// <summary>Counts an event without looking at a value.</summary>
    public void Count() => _count++;

    /// <summary>What it shows.</summary>
    public readonly void WriteJson(Aggregate aggregate, IBufferWriter<byte> to)
    {
        const int AverageDigits = 10;
        switch (aggregate)
        {
            case Aggregate.Count:
                JsonNumber.Write(_count, to);
                break;
            case Aggregate.Sum when _count > 0:
                JsonNumber.Write(_number, to);
                break;
            case Aggregate.Avg when _count > 0:
                JsonNumber.Write(decimal.Round(_number / _count, AverageDigits, MidpointRounding.ToEven), to);
                break;
            case Aggregate.SetAdd:
                WriteSet(to);
                break;
            default:
                WriteKept(to);
                break;
        }
    }

    public readonly void Save(SavedStateWriter writer)
    {
        writer.Number(_count);
        writer.Decimal(_number);
        writer.Byte((byte)_kind);
        writer.Bytes(_bytes);
        writer.Number(_set?.Count ?? 0);
        foreach (var member in Sorted())
        {
            writer.Bytes(member);
        }
    }

    /// <returns>Bytes of what is kept.</returns>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public long Restore(ref SavedStateReader reader)
    {
        (_count, _number, _kind, _bytes) = (reader.Number(), reader.Decimal(), (ValueKind)reader.Byte(), reader.Bytes().ToArray());
        var kept = (long)_bytes.Length;
        for (var members = reader.Number(); members > 0; members--)
        {
            var member = reader.Bytes().ToArray();
            kept += member.Length;
            if (!Set().Add(member))
            {
                throw new InvalidDataException("A saved state has a set with two equal members.");
            }
        }

        return _kind <= ValueKind.LargeNumber && _count >= 0 ? kept : throw new InvalidDataException("A saved state has a value of no known kind.");
    }

    private void AddNumber(in Value value, ExpressionWork work)
    {
        if (value.Kind != ValueKind.Number)
        {
            work.Mismatch();
            return;
        }

        try
        {
            _number += value.Number;
            _count++;
        }
        catch (OverflowException)
        {
            work.Fail();
        }
    }

    private long KeepExtreme(in Value value, bool smallest, ExpressionWork work)
    {
        if (value.Kind is not (ValueKind.Number or ValueKind.Text or ValueKind.Boolean))
        {
            work.Mismatch();
            return 0;
        }

        if (_kind == ValueKind.Null)
        {
            return Keep(value, work);
        }

        if (!Comparison.TryCompare(value, Kept(), out var order))
        {
            work.Mismatch(); // The first one says what kind they are.
            return 0;
        }

        return (smallest ? order < 0 : order > 0) ? Keep(value, work) : 0;
    }

    private readonly Value Kept() => _kind switch
    {
        ValueKind.Boolean => Value.Of(_number != 0),
        ValueKind.Number => Value.Of(_number),
        _ => Value.OfText(_bytes),
    };

    private long Keep(in Value value, ExpressionWork work)
    {
        var before = _bytes?.Length ?? 0;
        if (value.Kind is ValueKind.Json or ValueKind.LargeNumber)
        {
            if (!TryCanonical(value, out var canonical))
            {
                work.Mismatch();
                return 0;
            }

            (_kind, _number, _bytes) = (value.Kind, 0, canonical);
        }
        else
        {
            (_kind, _number) = (value.Kind, value.Number);
            _bytes = _bytes is not null && value.Bytes.SequenceEqual(_bytes) ? _bytes : value.Bytes.ToArray();
        }

        return _bytes.Length - before;
    }

    private long AddToSet(in Value value, ExpressionWork work)
    {
        if (!TryCanonical(value, out var canonical))
        {
            work.Mismatch();
            return 0;
        }

        return Set().Add(canonical) ? canonical.Length : 0;
    }

    private HashSet<byte[]> Set() => _set ??= new HashSet<byte[]>(Utf8Comparer.Ordinal);

    private readonly byte[][] Sorted()
    {
        var members = _set?.ToArray() ?? [];
        Array.Sort(members, Utf8Comparer.Ordinal);
        return members;
    }

    private static bool TryCanonical(in Value value, out byte[] canonical)
    {
        var json = new ArrayBufferWriter<byte>();
        var isValue = true;
        switch (value.Kind)
        {
            case ValueKind.Boolean:
                json.Write(value.IsTrue ? "true"u8 : "false"u8);
                break;
            case ValueKind.Number:
                JsonNumber.Write(value.Number, json);
                break;
            case ValueKind.Text:
                JsonText.WriteString(value.Bytes, json);
                break;
            default:
                isValue = JsonText.IsValid(value.Bytes);
                if (isValue)
                {
                    var reader = JsonText.Read(value.Bytes);
                    reader.Read();
                    JsonText.WriteCanonical(ref reader, json);
                }

                break;
        }

        canonical = json.WrittenSpan.ToArray();
        return isValue;
    }

    private readonly void WriteKept(IBufferWriter<byte> to)
    {
        switch (_kind)
        {
            case ValueKind.Boolean:
                to.Write(_number != 0 ? "true"u8 : "false"u8);
                break;
            case ValueKind.Number:
                JsonNumber.Write(_number, to);
                break;
            case ValueKind.Text:
                JsonText.WriteString(_bytes, to);
                break;
            case ValueKind.Null:
                to.Write("null"u8);
                break;
            default:
                to.Write(_bytes);
                break;
        }
    }

    private readonly void WriteSet(IBufferWriter<byte> to)
    {
        to.Write("["u8);
        var members = Sorted();
        for (var i = 0; i < members.Length; i++)
        {
            to.Write(i > 0 ? ","u8 : ""u8);
            to.Write(members[i]);
        }

        to.Write("]"u8);
    }
}
