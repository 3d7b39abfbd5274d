namespace EventVault.Client;

/// <summary>Turns the addresses that users write into those of the transport.</summary>
internal static class VaultAddress
{
    private const int DefaultPort = 7400;

    /// <exception cref="ArgumentException">The address is of another form.</exception>
    public static Uri Parse(string address)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(address);
        if (!Uri.TryCreate(address, UriKind.Absolute, out Uri? uri) || uri.Host.Length == 0
            || uri.AbsolutePath is not ("" or "/") || uri.Query.Length > 0 || uri.Fragment.Length > 0 || uri.UserInfo.Length > 0)
        {
            throw Malformed(address);
        }

        string scheme = uri.Scheme switch
        {
            "eventvault" or "http" => "http",
            "eventvaults" or "https" => "https",
            _ => throw Malformed(address),
        };

        // http and https have default ports of their own, which are never meant here unless they are written.
        bool hasPort = !uri.IsDefaultPort || address.TrimEnd('/').EndsWith($":{uri.Port}", StringComparison.Ordinal);
        return new UriBuilder(scheme, uri.Host, hasPort && uri.Port > 0 ? uri.Port : DefaultPort).Uri;
    }

    private static ArgumentException Malformed(string address) => new(
        $"\"{address}\" is no vault address. Write eventvault://host:port (clear text) or eventvaults://host:port (TLS); http:// and https:// work as well, the port is {DefaultPort} unless given.",
        nameof(address));
}
