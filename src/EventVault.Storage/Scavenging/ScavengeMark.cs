// The newest scavenge, as the events of `$streams` tell. Kept as a value of the state table as of the last sealed segment,
// absent while none was ever started:
//
//   scavenge   point i64, started at i64, floor i64, flags u32 (1 = stopped, 3 = stopped by a legal hold), zero u32, position
//              of the newest event about scavenging i64. 40 bytes
//
// A legal hold that is set while a scavenge runs ends it: what it holds was not held at the point, so the scavenge would
// remove it. All nodes stop there, however far they have come; one that is started behind the hold keeps what is held.
using System.Buffers.Binary;
using EventVault.Storage.Index;

namespace EventVault.Storage.Scavenging;

/// <summary>What is to become of scavenging.</summary>
public enum ScavengeChange : byte
{
    /// <summary>Space of what is hidden by now is given back, on all nodes.</summary>
    Start = 1,

    /// <summary>The one that runs goes no further; what it has done stays.</summary>
    Stop = 2,
}

/// <summary>The newest scavenge at some place of the log.</summary>
/// <param name="Point">Position of the event that started it; <see cref="Position.None"/>: none was ever started.</param>
/// <param name="StartedAt">When, 100 ns ticks since 1970.</param>
/// <param name="Floor">
/// Operation ids of appends in segments that end before it may have been removed; the highest that any scavenge named.
/// </param>
/// <param name="IsStopped">Whether it goes no further.</param>
/// <param name="At">Position of the event that said so last: the start, a stop, or a legal hold.</param>
internal sealed record ScavengeMark(Position Point, long StartedAt, Position Floor, bool IsStopped, Position At)
{
    public const string ValueName = "scavenge";

    private const int ValueLength = 40;
    private const uint FlagStopped = 1;
    private const uint FlagByHold = 2;

    /// <summary>None was ever started.</summary>
    public static ScavengeMark None { get; } = new(Position.None, 0, Position.None, false, Position.None);

    /// <summary>Whether it was a legal hold that stopped it, and nobody who asked for that.</summary>
    public bool IsByHold { get; init; }

    /// <summary>What a legal hold that is set says about scavenging.</summary>
    public static ScavengeMark Hold(Position at) => None with { IsStopped = true, IsByHold = true, At = at };

    /// <summary>Whether one was started, ever.</summary>
    public bool Exists => Point > Position.None;

    /// <summary>
    /// What holds behind another event, or behind all that a group says. One that is part of this already changes nothing: a
    /// segment that lost its index is walked again at start, and the state table may know of it and of what came behind.
    /// </summary>
    public ScavengeMark Join(ScavengeMark later)
    {
        if (later.At <= At)
        {
            return this;
        }

        Invariant.Check(!later.Exists || later.Point > Point, "Scavenges come in the order of the log.");
        return later.Exists
            ? later with { Floor = later.Floor > Floor ? later.Floor : Floor }
            : this with { IsStopped = IsStopped || later.IsStopped, IsByHold = later.IsByHold && (IsByHold || !IsStopped), At = later.At };
    }

    /// <summary>The value of the state table.</summary>
    public byte[] Value()
    {
        Invariant.Check(Exists && Floor < Point && At >= Point);
        var value = new byte[ValueLength];
        BinaryPrimitives.WriteInt64LittleEndian(value, Point.Value);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(8), StartedAt);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(16), Floor.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(value.AsSpan(24), IsStopped ? FlagStopped | (IsByHold ? FlagByHold : 0) : 0);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(32), At.Value);
        return value;
    }

    /// <summary>What the state table holds; null if that is impossible, and the table as good as lost.</summary>
    public static ScavengeMark? From(StateTable state)
    {
        if (!state.Values.TryGetValue(ValueName, out var value))
        {
            return None;
        }

        if (value.Length != ValueLength)
        {
            return null;
        }

        var flags = BinaryPrimitives.ReadUInt32LittleEndian(value.AsSpan(24));
        var mark = new ScavengeMark(
            new Position(BinaryPrimitives.ReadInt64LittleEndian(value)),
            BinaryPrimitives.ReadInt64LittleEndian(value.AsSpan(8)),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(value.AsSpan(16))),
            (flags & FlagStopped) != 0,
            new Position(BinaryPrimitives.ReadInt64LittleEndian(value.AsSpan(32))))
        {
            IsByHold = (flags & FlagByHold) != 0,
        };
        return mark.Exists && mark.StartedAt > 0 && mark.Floor >= Position.None && mark.Floor < mark.Point && flags is 0 or FlagStopped or (FlagStopped | FlagByHold) && mark.At >= mark.Point && (mark.IsStopped || mark.At == mark.Point) ? mark : null;
    }
}
