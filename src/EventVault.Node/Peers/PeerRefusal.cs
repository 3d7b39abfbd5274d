namespace EventVault.Node.Peers;

/// <summary>Why a node is not listened to.</summary>
/// <param name="Why">For people.</param>
/// <param name="IsOldDisk">Whether its disk has lost what it promised: it must promise nothing any more.</param>
internal sealed record PeerRefusal(string Why, bool IsOldDisk = false);
