using System.Globalization;
using System.Net;

namespace EventVault.Node;

/// <summary>Addresses of nodes, as HOST:PORT. HOST is a name, an IPv4 address, or an IPv6 address in brackets.</summary>
internal static class Addresses
{
    /// <summary>Longest address in characters: a DNS name has 253 at the most. No more than a membership keeps.</summary>
    public const int MostChars = 253;

    /// <summary>What is wrong with an address, for people; null: nothing.</summary>
    public static string? WhyNot(string address)
    {
        if (address.Length is 0 or > MostChars)
        {
            return $"an address has 1 to {MostChars} characters, this one {address.Length}.";
        }

        var colon = address.LastIndexOf(':');
        var host = colon < 0 ? address : address[..colon];
        if (colon < 0 || !ushort.TryParse(address.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port == 0)
        {
            return $"{address} is not HOST:PORT, such as node1.example:7402.";
        }

        return Uri.CheckHostName(host) switch
        {
            UriHostNameType.Dns or UriHostNameType.IPv4 => null,
            UriHostNameType.IPv6 when host.StartsWith('[') && host.EndsWith(']') => null,
            _ => $"{host} is no host name and no IP address; those of IPv6 stand in brackets.",
        };
    }

    /// <summary>An endpoint as an address.</summary>
    public static string Of(IPEndPoint endPoint) => endPoint.ToString();

    /// <summary>Whether nobody elsewhere can connect to it: it stands for all addresses of a machine.</summary>
    public static bool IsUnspecified(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);
}
