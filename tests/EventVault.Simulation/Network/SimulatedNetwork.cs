using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation.Network;

/// <summary>
/// Links between nodes, one for each direction. Whatever a network does to a message it does here: delay, loss, doubling,
/// overtaking, cutting, clogging, and flipping bits in the groups and pieces of segments it carries.
/// </summary>
internal sealed class SimulatedNetwork
{
    /// <summary>A clogged link keeps no more than this; the rest is lost, as in any queue.</summary>
    private const int MostClogged = 200;

    private readonly Simulation _simulation;
    private readonly SimulationOptions _options;
    private readonly Link[,] _links;
    private readonly Random _delay;
    private readonly Random _loss;
    private readonly Random _duplicate;
    private readonly Random _garble;
    private bool _isQuiet;

    public SimulatedNetwork(Simulation simulation)
    {
        _simulation = simulation;
        _options = simulation.Options;
        _delay = simulation.RandomFor("network-delay");
        _loss = simulation.RandomFor("network-loss");
        _duplicate = simulation.RandomFor("network-duplicate");
        _garble = simulation.RandomFor("network-garble");
        _links = new Link[_options.Nodes + 1, _options.Nodes + 1];
        foreach (ref var link in System.Runtime.InteropServices.MemoryMarshal.CreateSpan(ref _links[0, 0], _links.Length))
        {
            link = new Link();
        }
    }

    public long Sent { get; private set; }

    public long Delivered { get; set; }

    public long Garbled { get; private set; }

    /// <summary>Links that are cut now, for a summary.</summary>
    public int CutLinks => _links.Cast<Link>().Count(link => link.Cuts > 0);

    /// <summary>Sends a message on its way, or not.</summary>
    public void Send(int from, in PeerMessage message) => Send(from, (int)message.Raft.To.Node, new Parcel(from, message));

    /// <summary>Sends anything on its way, or not.</summary>
    public void Send(int from, int to, IParcel parcel)
    {
        Sent++;
        if (to < 1 || to > _options.Nodes || to == from)
        {
            return;
        }

        var link = _links[from, to];
        var isLost = _options.Has(FaultClass.Loss) && _loss.Chance(_options.LossProbability);
        if (link.Cuts > 0 || (isLost && !_isQuiet))
        {
            return;
        }

        Deliver(link, to, parcel);
        if (!_isQuiet && _options.Has(FaultClass.Duplicate) && _duplicate.Chance(_options.DuplicateProbability))
        {
            Deliver(link, to, parcel);
        }
    }

    /// <summary>Cuts a direction; it comes back when it was restored as often as it was cut.</summary>
    public void Cut(int from, int to) => _links[from, to].Cuts++;

    public void Restore(int from, int to) => _links[from, to].Cuts = Math.Max(0, _links[from, to].Cuts - 1);

    /// <summary>What is sent from now on arrives only after this time.</summary>
    public void Clog(int from, int to, long until) => _links[from, to].CloggedUntil = until;

    /// <summary>The links between these nodes work, and lose and double nothing any more. Those to others are dead, or half so.</summary>
    public void HealAmong(IReadOnlyList<int> core, Random random)
    {
        _isQuiet = true;
        for (var a = 1; a <= _options.Nodes; a++)
        {
            for (var b = a + 1; b <= _options.Nodes; b++)
            {
                // One direction at most: with both the node outside would be part of the core, and might lead it.
                var isInside = core.Contains(a) && core.Contains(b);
                var leak = random.Next(3);
                Set(_links[a, b], isInside || leak == 1);
                Set(_links[b, a], isInside || leak == 2);
            }
        }

        static void Set(Link link, bool works) => (link.CloggedUntil, link.Cuts) = (0, works ? 0 : 1_000_000);
    }

    private void Deliver(Link link, int to, IParcel parcel)
    {
        var delay = _delay.Exponential(_options.NetworkDelay.Ticks) + 1;
        var at = _simulation.Now + delay;
        if (link.CloggedUntil > _simulation.Now)
        {
            if (++link.Clogged > MostClogged)
            {
                return;
            }

            at = Math.Max(at, link.CloggedUntil);
        }
        else
        {
            link.Clogged = 0;
        }

        // Ordered links deliver in the order of sending, as a connection does.
        if (!_options.Has(FaultClass.Reorder) || _isQuiet)
        {
            at = Math.Max(at, link.LastArrival);
            link.LastArrival = at;
        }

        if (_options.Has(FaultClass.Garble) && IsLarge(parcel) && _garble.Chance(_options.GarbleProbability) && !_isQuiet)
        {
            Garbled++;
            parcel = parcel is Parcel p ? new Parcel(p.From, Garble(p.Message)) : Garble((ShipParcel)parcel);
        }

        _simulation.Add(new SimulatedEvent(at, EventKind.Message, to, 0, parcel));
    }

    // What has a checksum of its own: groups, and pieces of segments.
    private static bool IsLarge(IParcel parcel) =>
        parcel is Parcel { Message.Groups.Length: > 0 } or ShipParcel { Kind: PeerRequestKind.SegmentBytes, IsAnswer: true, Content.Length: > 0 };

    private ShipParcel Garble(ShipParcel parcel)
    {
        var content = (byte[])parcel.Content.Clone();
        content[_garble.Next(content.Length)] ^= (byte)(1 << _garble.Next(8));
        return parcel with { Content = content };
    }

    private PeerMessage Garble(in PeerMessage message)
    {
        var groups = (byte[][])message.Groups.Clone();
        var which = _garble.Next(groups.Length);
        var copy = (byte[])groups[which].Clone();
        copy[_garble.Next(copy.Length)] ^= (byte)(1 << _garble.Next(8));
        groups[which] = copy;
        return message with { Groups = groups };
    }

    private sealed class Link
    {
        public int Cuts { get; set; }

        public long CloggedUntil { get; set; }

        public int Clogged { get; set; }

        public long LastArrival { get; set; }
    }
}
