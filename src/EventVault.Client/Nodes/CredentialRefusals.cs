using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// Which nodes have refused the credentials of one operation, or what they allow. Users and roles stand in the log, so a node that is behind, or cut off, does
/// not know who was made since. Final is what a node says that is known to lead, or what all of them say. Used by one thread at a time.
/// </summary>
/// <param name="nodes">The nodes.</param>
internal sealed class CredentialRefusals(NodeRoster nodes)
{
    // Elections take less than so many attempts, with the pauses between them; a node that stays away must not hide a wrong password for longer.
    private const int MostInVain = 5;

    private readonly List<VaultNode> _by = [];
    private int _inVain;

    /// <summary>Where a request goes.</summary>
    /// <param name="request">The request.</param>
    public VaultNode For(IMessage request) => ReadPlaces.IsForFirst(request) ? nodes.First : InPlaceOf(nodes.For(request));

    /// <summary>Where the next attempt goes.</summary>
    /// <param name="usual">Where it would go.</param>
    public VaultNode InPlaceOf(VaultNode usual)
    {
        if (_by.Count == 0 || !_by.Contains(usual) || nodes.IsSureToLead(usual) || nodes.Other(_by) is not { } other)
        {
            return usual;
        }

        // Who refused is asked again in the end, and then is believed.
        return other.FailedAt != 0 && ++_inVain > MostInVain ? usual : other;
    }

    /// <summary>An attempt failed.</summary>
    /// <param name="node">Where.</param>
    /// <param name="failure">With what.</param>
    /// <returns>Whether it is another node's turn; false: it is final, or has nothing to do with credentials.</returns>
    public bool AskElsewhere(VaultNode node, VaultException failure)
    {
        if (failure.Code is not (VaultErrorCode.NotAuthenticated or VaultErrorCode.NotAllowed) || _by.Contains(node))
        {
            return false;
        }

        _by.Add(node);
        return !nodes.IsSureToLead(node) && nodes.Other(_by) is not null;
    }

    /// <summary>They were taken, or their refusal was told: what comes next begins anew.</summary>
    public void Clear()
    {
        _by.Clear();
        _inVain = 0;
    }
}
