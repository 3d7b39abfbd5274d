using System.Buffers;

namespace EventVault.Client;

/// <summary>Turns the addresses that users write into those of the transport.</summary>
internal static class VaultAddress
{
    private const int DefaultPort = 7400;

    /// <summary>Most nodes that one address may name: a vault has a handful, and a hundred is a mistake.</summary>
    private const int MostNodes = 32;

    // What in a Uri begins or ends something else than host and port.
    private static readonly SearchValues<char> Foreign = SearchValues.Create("/?#@\\ ");

    /// <summary>Reads <c>scheme://host:port,host:port</c>, of which only the nodes matter.</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentException">The address is of another form, or names a node twice.</exception>
    public static IReadOnlyList<Uri> Parse(string address) => Parse(address, out _);

    /// <summary>Reads <c>scheme://user:password@host:port,host:port</c>.</summary>
    /// <param name="address">The address. No error shows what stands before an @.</param>
    /// <param name="credentials">Null: it has none.</param>
    /// <returns>One address for each node, in the order in which they stand there.</returns>
    /// <exception cref="ArgumentException">The address is of another form, or names a node twice.</exception>
    public static IReadOnlyList<Uri> Parse(string address, out VaultCredentials? credentials)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(address);
        credentials = TakeUser(ref address);
        int end = address.IndexOf("://", StringComparison.Ordinal);
        if (end < 0)
        {
            throw Malformed(address, "it has no scheme");
        }

        string scheme = address[..end].ToLowerInvariant() switch
        {
            "eventvault" or "http" => "http",
            "eventvaults" or "https" => "https",
            var other => throw Malformed(address, $"its scheme is \"{other}\""),
        };
        string list = address[(end + 3)..];
        string[] parts = (list.EndsWith('/') ? list[..^1] : list).Split(',', StringSplitOptions.TrimEntries);
        if (parts.Length > MostNodes)
        {
            throw Malformed(address, $"it names {parts.Length} nodes, {MostNodes} are allowed; a few are enough, the client asks them for the others");
        }

        var nodes = new List<Uri>(parts.Length);
        foreach (string part in parts)
        {
            Uri node = TryOne(scheme, part) ?? throw Malformed(address, $"\"{part}\" is not host:port");
            if (nodes.Contains(node))
            {
                throw Malformed(address, $"\"{part}\" stands there twice");
            }

            nodes.Add(node);
        }

        return nodes;
    }

    /// <summary>One node's HOST:PORT, as nodes tell it.</summary>
    /// <param name="scheme">That of the transport: <c>http</c> or <c>https</c>.</param>
    /// <param name="hostAndPort">The host, which in brackets may be an IPv6 address, and perhaps a port.</param>
    /// <returns>Null: it is of another form.</returns>
    public static Uri? TryOne(string scheme, string hostAndPort)
    {
        // Whatever a Uri could be made of beside host and port is refused here, so that nothing of it is dropped unseen.
        if (hostAndPort.Length == 0 || hostAndPort.AsSpan().ContainsAny(Foreign)
            || !Uri.TryCreate($"{scheme}://{hostAndPort}", UriKind.Absolute, out Uri? uri) || uri.Host.Length == 0)
        {
            return null;
        }

        // http and https have default ports of their own, which are never meant here unless they are written.
        bool hasPort = !uri.IsDefaultPort || hostAndPort.EndsWith($":{uri.Port}", StringComparison.Ordinal);
        return uri.Port == 0 ? null : new UriBuilder(scheme, uri.Host, hasPort ? uri.Port : DefaultPort).Uri;
    }

    // Takes it out of the address, so that no message can show it.
    private static VaultCredentials? TakeUser(ref string address)
    {
        int begin = address.IndexOf("://", StringComparison.Ordinal) is >= 0 and var scheme ? scheme + 3 : 0;
        int end = address.LastIndexOf('@');
        if (end < begin)
        {
            return null;
        }

        string user = address[begin..end];
        address = address.Remove(begin, end + 1 - begin);
        int colon = user.IndexOf(':', StringComparison.Ordinal);
        return colon > 0
            ? VaultCredentials.Password(Uri.UnescapeDataString(user[..colon]), Uri.UnescapeDataString(user[(colon + 1)..]))
            : throw Malformed(address, "what stands before its @ is not user:password");
    }

    private static ArgumentException Malformed(string address, string why) => new(
        $"\"{address}\" is no vault address: {why}. Write eventvault://host:port (clear text) or eventvaults://host:port (TLS), and with commas between them several nodes of one vault: "
        + $"eventvault://a:7400,b:7400; an IPv6 address in brackets, [::1]:7400; http:// and https:// work as well, the port is {DefaultPort} unless given.",
        nameof(address));
}
