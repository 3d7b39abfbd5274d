using System.Text;

namespace EventVault.Rpc;

/// <summary>One key and its value; text, or bytes if the key ends in <c>-bin</c>.</summary>
public readonly struct RpcMetadataEntry
{
    private readonly ReadOnlyMemory<byte> _bytes;
    private readonly string? _text;

    internal RpcMetadataEntry(string key, string text)
    {
        Key = key;
        _text = text;
        _bytes = default;
    }

    internal RpcMetadataEntry(string key, ReadOnlyMemory<byte> bytes)
    {
        Key = key;
        _text = null;
        _bytes = bytes;
    }

    /// <summary>The key, in lower case.</summary>
    public string Key { get; }

    /// <summary>Whether the value is bytes.</summary>
    public bool IsBinary => _text is null;

    /// <summary>The text.</summary>
    /// <exception cref="InvalidOperationException">The value is bytes.</exception>
    public string Text => _text ?? throw new InvalidOperationException($"Metadata {Key} is binary: read Bytes.");

    /// <summary>The value as bytes; text as ASCII.</summary>
    public ReadOnlyMemory<byte> Bytes => _text is null ? _bytes : Encoding.ASCII.GetBytes(_text);
}
