using EventVault.Raft;

namespace EventVault.Node.Replication;

/// <summary>A message of consensus on its way between two nodes.</summary>
/// <param name="VaultId">Of the sender's vault: other vaults' messages are dropped.</param>
/// <param name="Raft">The message.</param>
/// <param name="Groups">Of an Append: the bytes of its entries, one array each, never changed. Otherwise empty.</param>
internal readonly record struct PeerMessage(Guid VaultId, Message Raft, byte[][] Groups);

/// <summary>Carries messages to peers. May lose, delay, double and reorder them.</summary>
internal interface IPeerTransport
{
    /// <summary>Sends, or drops. Called on the vault's thread: must not block.</summary>
    void Send(in PeerMessage message);
}

/// <summary>Of a node without peers: a quorum of one sends nothing, so whatever comes is a bug.</summary>
internal sealed class NoPeers : IPeerTransport
{
    public void Send(in PeerMessage message) => throw new InvariantException($"A node without peers sends {message.Raft.Kind} to {message.Raft.To}.");
}
