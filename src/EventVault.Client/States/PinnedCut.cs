using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// The moment that an answer in many messages rests on. Fixed by the first message: a call that was cut goes on as of the same
/// position, with the same reducer, or not at all.
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
    public Protocol.AsOf? Next()
    {
        if (_cut is null)
        {
            return asked;
        }

        // Nothing can come into a moment before the first event any more: it was closed before the answer was given.
        Protocol.AsOf next = _cut.Position is { } position
            ? new Protocol.AsOf { Position = position }
            : new Protocol.AsOf { Time = _cut.ClosedTime is { } closed ? VaultTime.ToTicks(closed) : 0 };
        if (asked is { HasOccurred: true })
        {
            next.Occurred = asked.Occurred;
        }

        return next;
    }

    /// <summary>What the next request must have seen.</summary>
    public Protocol.Consistency? Consistency() => (_cut?.Position is { } position ? Client.Consistency.AtLeast(position) : consistency).ToMessage(seen);
}
