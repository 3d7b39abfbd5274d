using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// The moment that an answer in many messages rests on. A call that was cut goes on as of the same one, with the same reducer, or
/// not at all: what names a moment is asked for again, and the newest one is fixed by the first message.
/// </summary>
/// <param name="asked">The moment as it was asked for; null: the newest.</param>
/// <param name="consistency">What the answer must have seen.</param>
/// <param name="seen">What the client has seen.</param>
internal sealed class PinnedCut(Protocol.AsOf? asked, Consistency consistency, SeenPosition seen)
{
    private Cut? _cut;
    private ByteString? _reducer;

    /// <summary>What it stands for.</summary>
    /// <exception cref="VaultException">The node has not said.</exception>
    public Cut Cut => _cut ?? throw VaultErrors.ProtocolViolation("states came without the cut that they are of");

    /// <summary>The node has said what it stands for.</summary>
    public void Set(Cut cut) => _cut ??= cut;

    /// <summary>A state came, made by this reducer.</summary>
    /// <exception cref="VaultException">Not the one of the states before: it was defined anew, and the call was begun again since.</exception>
    public void SetReducer(ByteString hash)
    {
        _reducer ??= hash;
        if (!_reducer.Equals(hash))
        {
            throw VaultErrors.From([new VaultFailure
            {
                Code = VaultErrorCode.DefinitionConflict,
                Message = "The reducer was defined anew while its states were read, and the connection was lost. Ask again, or name the version.",
            }]);
        }
    }

    /// <summary>The moment for the next request.</summary>
    /// <param name="waits">Whether it may still be waited for.</param>
    public Protocol.AsOf? Next(bool waits)
    {
        if (_cut is null || asked is { CutCase: not Protocol.AsOf.CutOneofCase.None })
        {
            return Again(asked, waits);
        }

        // Of an empty vault: the begin of time, into which nothing is ever recorded.
        Protocol.AsOf next = _cut.Position is { } position ? new Protocol.AsOf { Position = position } : new Protocol.AsOf { Time = long.MinValue };
        if (asked is { HasOccurred: true })
        {
            next.Occurred = asked.Occurred;
        }

        return next;
    }

    /// <summary>The same moment once more.</summary>
    /// <param name="asOf">The moment; null: the newest.</param>
    /// <param name="waits">Whether it may still be waited for.</param>
    public static Protocol.AsOf? Again(Protocol.AsOf? asOf, bool waits) =>
        waits || asOf is not { Wait: true } ? asOf : new Protocol.AsOf(asOf) { Wait = false };

    /// <summary>What the next request must have seen.</summary>
    public Protocol.Consistency? Consistency() => (_cut?.Position is { } position ? Client.Consistency.AtLeast(position) : consistency).ToMessage(seen);
}
