using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace EventVault.Rpc;

/// <summary>
/// Keys and values sent before a call's messages (headers) or after them (trailers). A key may occur more than
/// once. Not thread-safe while it is being filled.
/// </summary>
#pragma warning disable CA1710 // "Metadata" is gRPC's word for it.
public sealed class RpcMetadata : IReadOnlyCollection<RpcMetadataEntry>
#pragma warning restore CA1710
{
    private const string BinarySuffix = "-bin";

    private readonly List<RpcMetadataEntry> _entries = [];

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <summary>Adds a text value.</summary>
    /// <param name="key">Letters, digits, <c>_</c>, <c>-</c> and <c>.</c>; kept in lower case; must not end in <c>-bin</c>.</param>
    /// <param name="value">Printable ASCII; spaces at the ends are lost on the way.</param>
    /// <returns>This collection.</returns>
    /// <exception cref="ArgumentException">The key or the value has a character that can't be sent, or the key belongs to the transport.</exception>
    public RpcMetadata Add(string key, string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        key = CheckKey(key);
        if (IsBinaryKey(key))
        {
            throw new ArgumentException($"Metadata key {key} ends in -bin, so its value must be bytes.", nameof(key));
        }

        foreach (var c in value)
        {
            if (c is < ' ' or > '~')
            {
                throw new ArgumentException(
                    $"Metadata {key} has the character U+{(int)c:X4}; only printable ASCII can be sent. Use a key that ends in -bin and bytes.", nameof(value));
            }
        }

        _entries.Add(new RpcMetadataEntry(key, value));
        return this;
    }

    /// <summary>Adds a value of bytes. The memory is not copied and must not change until the call has ended.</summary>
    /// <param name="key">As for text, and it must end in <c>-bin</c>.</param>
    /// <param name="value">Any bytes.</param>
    /// <returns>This collection.</returns>
    /// <exception cref="ArgumentException">The key can't be sent, does not end in <c>-bin</c>, or belongs to the transport.</exception>
    public RpcMetadata Add(string key, ReadOnlyMemory<byte> value)
    {
        key = CheckKey(key);
        if (!IsBinaryKey(key))
        {
            throw new ArgumentException($"Metadata key {key} must end in -bin to carry bytes.", nameof(key));
        }

        _entries.Add(new RpcMetadataEntry(key, value));
        return this;
    }

    /// <summary>The last text value under a key.</summary>
    /// <param name="key">Case does not matter.</param>
    /// <param name="value">The value, or null.</param>
    /// <returns>Whether there is a text value.</returns>
    public bool TryGet(string key, [NotNullWhen(true)] out string? value)
    {
        for (var i = _entries.Count - 1; i >= 0; i--)
        {
            if (!_entries[i].IsBinary && string.Equals(_entries[i].Key, key, StringComparison.OrdinalIgnoreCase))
            {
                value = _entries[i].Text;
                return true;
            }
        }

        value = null;
        return false;
    }

    /// <summary>The last value of bytes under a key.</summary>
    /// <param name="key">Case does not matter; ends in <c>-bin</c>.</param>
    /// <param name="value">The bytes, or nothing.</param>
    /// <returns>Whether there is such a value.</returns>
    public bool TryGetBinary(string key, out ReadOnlyMemory<byte> value)
    {
        for (var i = _entries.Count - 1; i >= 0; i--)
        {
            if (_entries[i].IsBinary && string.Equals(_entries[i].Key, key, StringComparison.OrdinalIgnoreCase))
            {
                value = _entries[i].Bytes;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <inheritdoc/>
    public IEnumerator<RpcMetadataEntry> GetEnumerator() => _entries.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal static bool IsBinaryKey(string key) => key.EndsWith(BinarySuffix, StringComparison.OrdinalIgnoreCase);

    /// <summary>Headers that say how the call is carried; neither shown as metadata nor settable as such.</summary>
    internal static bool BelongsToTransport(string lowerKey) => lowerKey switch
    {
        "content-type" or "content-length" or "te" or "host" or "date" or "server" => true,
        "connection" or "keep-alive" or "proxy-connection" or "transfer-encoding" or "upgrade" or "trailer" => true,
        "grpc-status" or "grpc-message" or "grpc-timeout" or "grpc-encoding" or "grpc-accept-encoding" => true,
        _ => lowerKey.StartsWith(':'),
    };

    /// <summary>Adds what came over the wire, without the checks that hold for what we send.</summary>
    internal void AddReceived(RpcMetadataEntry entry) => _entries.Add(entry);

    private static string CheckKey(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        foreach (var c in key)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-' or '.'))
            {
                throw new ArgumentException(
                    $"Metadata key {key} has the character U+{(int)c:X4}; only letters, digits, '_', '-' and '.' can be sent.", nameof(key));
            }
        }

#pragma warning disable CA1308 // HTTP/2 field names are lower case on the wire.
        key = key.ToLowerInvariant();
#pragma warning restore CA1308
        if (BelongsToTransport(key))
        {
            throw new ArgumentException($"Metadata key {key} belongs to the transport and can't be set.", nameof(key));
        }

        return key;
    }
}
