using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>
/// Several scripted nodes over one <see cref="MemoryVault"/>, which stands for the log that they all have. Who leads is what the test says;
/// what a follower says of the leader, too.
/// </summary>
public sealed class ScriptedCluster : IAsyncDisposable
{
    private readonly List<ScriptedVault> _nodes = [];
    private int _leader;
    private long _term = 1;

    private ScriptedCluster()
    {
    }

    public MemoryVault Vault { get; } = new();

    public ScriptedVault this[int node] => _nodes[node];

    /// <summary>Which node leads; -1: none.</summary>
    public int Leader
    {
        get => Volatile.Read(ref _leader);
        set
        {
            Interlocked.Increment(ref _term);
            Volatile.Write(ref _leader, value);
        }
    }

    /// <summary>Whether followers say who leads.</summary>
    public bool NamesLeader { get; set; } = true;

    /// <summary>Members that are out of the leader's reach.</summary>
    public HashSet<int> CutOff { get; } = [];

    /// <summary>Nodes that were removed.</summary>
    public HashSet<int> Removed { get; } = [];

    /// <summary>Whether nodes answer <c>GetCluster</c>.</summary>
    public bool TellsMembers { get; set; } = true;

    /// <summary>All addresses.</summary>
    public string Address => "eventvault://" + string.Join(',', _nodes.Select(HostAndPort));

    public static async Task<ScriptedCluster> StartAsync(int nodes = 3)
    {
        var cluster = new ScriptedCluster();
        for (int i = 0; i < nodes; i++)
        {
            int self = i;
            ScriptedVault node = await ScriptedVault.StartAsync(cluster.Vault);
            node.NoLeader = () => cluster.Leader == self ? null : cluster.NotLeader();
            node.OnGetCluster = () => cluster.TellsMembers ? cluster.Members(self) : null;
            cluster._nodes.Add(node);
        }

        return cluster;
    }

    /// <summary>A client of all nodes, or of one of them.</summary>
    public VaultClient Connect(VaultClientOptions? options = null, int? node = null) =>
        VaultClient.Connect(node is { } n ? _nodes[n].Address : Address, options ?? Some.Quick);

    /// <summary>What a follower refuses with.</summary>
    public Protocol.Failure NotLeader() => Refusal(Protocol.Reason.NotLeader, NamesLeader && Leader >= 0 ? HostAndPort(_nodes[Leader]) : "");

    public static Protocol.Failure Refusal(Protocol.Reason reason, string address = "") =>
        new() { Reason = reason, Message = $"Refused on cue: {reason}.", Address = address };

    public static string HostAndPort(ScriptedVault node) => new Uri(node.Address).Authority;

    /// <summary>How the nodes stand as one of them sees them.</summary>
    public Protocol.GetClusterResponse Members(int self)
    {
        var answer = new Protocol.GetClusterResponse
        {
            VaultId = ByteString.CopyFrom(_nodes[self].VaultId.ToByteArray(bigEndian: true)),
            NodeId = (uint)self + 1,
            Term = (ulong)Interlocked.Read(ref _term),
            LeaderNodeId = (uint)(Leader + 1),
        };
        for (int i = 0; i < _nodes.Count; i++)
        {
            if (!Removed.Contains(i))
            {
                answer.Nodes.Add(new Protocol.ClusterNode
                {
                    NodeId = (uint)i + 1,
                    Role = Protocol.NodeRole.Voter,
                    Address = HostAndPort(_nodes[i]),
                    IsLeader = i == Leader,
                    IsReachable = !CutOff.Contains(i),
                    State = "serving",
                });
            }
        }

        return answer;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ScriptedVault node in _nodes)
        {
            await node.DisposeAsync();
        }
    }
}
