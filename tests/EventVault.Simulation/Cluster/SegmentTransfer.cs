// Segments between the nodes, in one life of a node: what NodeShipping and ShipTask do in the product, by events instead of tasks.
// Requests and answers go through the simulated network, which loses, delays and doubles them; whoever is asked may die in between.
using EventVault.Node;
using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Raft;
using EventVault.Simulation.Network;
using EventVault.Storage.Io;
using LogIndex = EventVault.Raft.LogIndex;

namespace EventVault.Simulation.Cluster;

/// <summary>A node's part in shipping.</summary>
internal sealed class SegmentTransfer(Simulation simulation, SimulatedNode node)
{
    /// <summary>An answer that takes longer does not come.</summary>
    private const long PatienceMs = 2_000;

    private readonly SegmentReceiver _receiver = new(node.Storage);
    private IReadOnlyList<ReplicaId> _sources = [];
    private (ReplicaId From, long Number, long Until)? _asked;
    private long _numbers;

    private ReplicaId Self => node.Id!.Value;

    private long NowMs => VaultLoop.NowMs(node.Clock);

    /// <summary>The leader's core says that a follower is too far behind.</summary>
    public void Order(ReplicaId follower, LogIndex first) =>
        Send(new ShipParcel(Self, follower, PeerRequestKind.Ship, ++_numbers) { Content = ShipMessages.Ship(first, node.Replica.Membership) });

    /// <summary>A request came, or an answer.</summary>
    public void Receive(ShipParcel parcel)
    {
        if (parcel.IsAnswer)
        {
            TakeAnswer(parcel);
            return;
        }

        var answer = new ShipParcel(Self, parcel.From, parcel.Kind, parcel.Number) { IsAnswer = true };
        try
        {
            Send(answer with { Content = Answer(parcel) });
        }
        catch (Exception e) when (e is PeerRequestException or DiskException)
        {
            Send(answer with { Refusal = e.Message });
        }
    }

    /// <summary>Time has passed: asks again, or gives an answer up.</summary>
    public void Step()
    {
        if (_asked is { } asked && NowMs >= asked.Until)
        {
            _asked = null;
            _receiver.Failed("it did not answer in time", NowMs);
        }

        Pull();
    }

    private byte[] Answer(ShipParcel parcel)
    {
        if (parcel.To != Self)
        {
            throw new PeerRequestException($"node {parcel.To} is not here, but {Self}");
        }

        if (parcel.Kind == PeerRequestKind.Ship)
        {
            TakeOrder(parcel);
            return [];
        }

        if (node.Replica.Membership.RoleOf(parcel.From) == 0)
        {
            throw new PeerRequestException($"node {parcel.From} is no member");
        }

        using var shelf = new SegmentShelf(node.Storage, bytesPerSecond: 0, node.Clock);
        return parcel.Kind == PeerRequestKind.Segments ? shelf.Segments(parcel.Content) : shelf.SegmentBytes(parcel.Content);
    }

    private void TakeOrder(ShipParcel parcel)
    {
        var (_, members) = ShipMessages.ReadShip(parcel.Content);
        if (members.RoleOf(parcel.From) == 0)
        {
            throw new PeerRequestException("orders to get segments come from the leader of the vault");
        }

        _sources = [
            .. members.Members.Where(m => m.Id != Self).OrderBy(m => m.Id == parcel.From ? 1 : (m.Role & MemberRole.Voter) != 0 ? 0 : 2).Select(m => m.Id),
        ];
        _receiver.Order();
        Pull();
    }

    private void TakeAnswer(ShipParcel parcel)
    {
        if (_asked is not { } asked || asked.From != parcel.From || asked.Number != parcel.Number)
        {
            return; // Doubled, or too late.
        }

        _asked = null;
        if (parcel.Refusal is { } why)
        {
            _receiver.Failed(why, NowMs);
        }
        else
        {
            node.RunBeside(() => _receiver.Answered(parcel.Content, NowMs));
        }

        Pull();
    }

    private void Pull()
    {
        if (_asked is null && !_receiver.WantsReopening)
        {
            ShipAsk? ask = null;
            node.RunBeside(() => ask = _receiver.Next(NowMs, _sources));
            if (ask is not null)
            {
                _asked = (ask.From, ++_numbers, NowMs + PatienceMs);
                Send(new ShipParcel(Self, ask.From, ask.Kind, _numbers) { Content = ask.Content });
            }
        }

        if (_receiver.WantsReopening)
        {
            node.ReopenSoon();
        }
    }

    private void Send(ShipParcel parcel) => simulation.Network.Send(node.Number, (int)parcel.To.Node, parcel);
}
