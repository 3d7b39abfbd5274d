using System.Net;
using EventVault.Node.Replication;
using EventVault.Storage.Io;

namespace EventVault.Node.Peers;

/// <summary>What a <see cref="PeerNetwork"/> is started with.</summary>
internal sealed record PeerNetworkOptions
{
    /// <summary>How this node introduces itself.</summary>
    public required PeerHello Hello { get; init; }

    /// <summary>Where it listens.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>The port; 0 takes a free one.</summary>
    public int Port { get; init; }

    /// <summary>Encrypts, and knows who may connect; null: clear text, and everybody may.</summary>
    public PeerTls? Tls { get; init; }

    /// <summary>The data directory, for the file <c>peers</c>; null: nothing outlives the process, as of a node without a vault.</summary>
    public string? Directory { get; init; }

    /// <summary>The disk.</summary>
    public IFileSystem Files { get; init; } = new NativeFileSystem();

    /// <summary>Shortest election timeout: a peer that is silent for this long is connected to anew, before anyone campaigns because of it.</summary>
    public TimeSpan ElectionTimeout { get; init; } = TimeSpan.FromMilliseconds(1500);

    /// <summary>The wall clock that is told to peers.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>
    /// Requests that this node has under way at a time, and as many again that ask how a node stands: a few to each of 64 members.
    /// More are refused, as something must have gone wrong.
    /// </summary>
    internal int MostRequests { get; init; } = 256;

    /// <summary>How far the own disk is, as peers are told with every ping.</summary>
    public Func<DiskMark> Mark { get; init; } = static () => default;

    /// <summary>
    /// Called when another node of the vault holds the own disk for an old copy of itself, with the reason; also at a start, if one did
    /// before. Returns whether that holds for good.
    /// </summary>
    public Func<string, bool> OnOldDisk { get; init; } = static _ => true;

    /// <summary>Between two pings: often enough that several fit an election timeout.</summary>
    internal TimeSpan PingEvery => ElectionTimeout / PingsInElectionTimeout;

    /// <summary>So many pings without an answer, and the connection counts as dead.</summary>
    internal const int PingsInElectionTimeout = 4;

    /// <summary>How long a hello may take to be answered: a slow line, TLS, and finding out whether another copy of the disk is alive.</summary>
    internal TimeSpan HelloLimit => TimeSpan.FromSeconds(5) + ElectionTimeout;
}
