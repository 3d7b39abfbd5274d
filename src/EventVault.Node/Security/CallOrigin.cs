using System.Net;
using System.Net.Sockets;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Http.Features;

namespace EventVault.Node.Security;

/// <summary>Where a call comes from, or a request for a page: what it shows, and whose share of what is scarce it takes.</summary>
internal readonly struct CallOrigin
{
    /// <summary>Of an IPv6 address this much is one network's: whoever has it has all addresses behind it.</summary>
    private const int NetworkBytes = 8;

    private readonly RpcContext? _call;
    private readonly HttpContext? _page;

    public CallOrigin(RpcContext call) => _call = call;

    public CallOrigin(HttpContext page) => _page = page;

    /// <summary>The header <c>authorization</c>; null: none came.</summary>
    public string? Authorization => _call is not null ? _call.Authorization
        : _page!.Request.Headers.Authorization is { Count: > 0 } sent ? sent.ToString() : null;

    /// <summary>The connection.</summary>
    public RpcConnection Connection => _call?.Connection ?? _page!.Features.GetRequiredFeature<RpcConnection>();

    /// <summary>What the TLS handshake has accepted; null: nothing.</summary>
    public ShownCertificate? Certificate => Connection.Shown as ShownCertificate;

    /// <summary>The client's address, or its network: the same for all who may be one.</summary>
    public IPAddress Network => NetworkOf(_call is not null ? _call.RemoteAddress : _page!.Connection.RemoteIpAddress);

    /// <summary>Address and port, for people.</summary>
    public string Peer => _call?.Peer ?? (_page!.Connection.RemoteIpAddress is { } address ? new IPEndPoint(address, _page.Connection.RemotePort).ToString() : "unknown");

    /// <summary>Fires when nobody waits for the answer any more.</summary>
    public CancellationToken Gone => _call?.Cancellation ?? _page!.RequestAborted;

    private static IPAddress NetworkOf(IPAddress? address)
    {
        if (address is not { AddressFamily: AddressFamily.InterNetworkV6 })
        {
            return address ?? IPAddress.None;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        var bytes = address.GetAddressBytes();
        bytes.AsSpan(NetworkBytes).Clear();
        return new IPAddress(bytes);
    }
}
