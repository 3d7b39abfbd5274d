// A reducer folds events into a state. It is a pure function: the same events in the same order give the same bytes, on every
// node, for ever. What could break that is kept out: floating point, clocks, chance, languages, the order of hash tables.
//
// Whoever changes what any definition gives for any events raises `EngineVersion`: it is part of every reducer's hash, so
// state snapshots of before are not taken for the new engine's.
using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace EventVault.Temporal.Reducers;

/// <summary>Folds events into a state. Immutable; shared by threads.</summary>
public abstract class Reducer
{
    private const uint EngineVersion = 1;

    /// <summary>Bytes of <see cref="Hash"/>.</summary>
    public const int HashBytes = 32;

    /// <summary>The definition in its normal form: equal texts, equal states.</summary>
    public abstract string Definition { get; }

    /// <summary>Names the definition and the engine: SHA-256 over both.</summary>
    public byte[] Hash => _hash ??= Compute();

    private byte[]? _hash;

    /// <summary>A state before any event.</summary>
    /// <param name="limits">What it may grow to.</param>
    public abstract FoldState Start(FoldLimits limits);

    /// <summary>A state that was saved.</summary>
    /// <param name="saved">What <see cref="FoldState.Save"/> wrote.</param>
    /// <param name="limits">What it may grow to.</param>
    /// <exception cref="InvalidDataException">It is not that of this reducer, or damaged.</exception>
    public abstract FoldState Restore(ReadOnlySpan<byte> saved, FoldLimits limits);

    private byte[] Compute()
    {
        var text = new ArrayBufferWriter<byte>();
        BinaryPrimitives.WriteUInt32LittleEndian(text.GetSpan(4), EngineVersion);
        text.Advance(4);
        text.Write(Encoding.UTF8.GetBytes(Definition));
        return SHA256.HashData(text.WrittenSpan);
    }
}

/// <summary>What a state may grow to.</summary>
/// <param name="StateBytes">Bytes of its values and names, more or less its JSON.</param>
public sealed record FoldLimits(long StateBytes)
{
    /// <summary>1 MiB: a state that is larger wants to be a view with a row for each key.</summary>
    public static FoldLimits Default { get; } = new(1024 * 1024);
}

/// <summary>A state has grown beyond its limit.</summary>
/// <param name="bytes">What it takes.</param>
/// <param name="allowed">What it may take.</param>
public sealed class StateTooLargeException(long bytes, long allowed)
    : Exception($"The state takes {bytes} bytes, more than the {allowed} that are allowed. Keep less of each event, or fold fewer keys.")
{
    /// <summary>What it takes.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>What it may take.</summary>
    public long Allowed { get; } = allowed;
}

/// <summary>What went into a state beside what it shows.</summary>
/// <param name="Events">Events folded.</param>
/// <param name="Skipped">Of those, the ones that are no JSON, or not the kind that is needed, and changed nothing.</param>
/// <param name="Mismatches">Values of another type than was needed; they counted as null.</param>
/// <param name="Errors">Values that could not be calculated: overflows, divisions by zero. They counted as null.</param>
public readonly record struct FoldCounts(long Events, long Skipped, long Mismatches, long Errors);

/// <summary>A state while it is folded. One thread at a time.</summary>
public abstract class FoldState
{
    /// <summary>What went into it.</summary>
    public FoldCounts Counts { get; protected set; }

    /// <summary>About what it takes, in bytes of JSON.</summary>
    public abstract long Bytes { get; }

    /// <summary>Folds the next event.</summary>
    /// <exception cref="StateTooLargeException">The state is spoilt: begin anew.</exception>
    public abstract void Apply(in FoldEvent e);

    /// <summary>Writes the state as canonical JSON.</summary>
    public abstract void WriteJson(IBufferWriter<byte> to);

    /// <summary>Writes all that <see cref="Reducer.Restore"/> needs. Equal states write equal bytes.</summary>
    public abstract void Save(IBufferWriter<byte> to);

    /// <summary>SHA-256 over the canonical JSON: equal on every node at the same position.</summary>
    public byte[] JsonHash() => ToJson().Hash;

    /// <summary>The canonical JSON and its hash, serialised once for both.</summary>
    public (byte[] Json, byte[] Hash) ToJson()
    {
        var json = new ArrayBufferWriter<byte>();
        WriteJson(json);
        return (json.WrittenSpan.ToArray(), SHA256.HashData(json.WrittenSpan));
    }
}
