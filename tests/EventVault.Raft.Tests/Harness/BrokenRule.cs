using System.Runtime.CompilerServices;
using System.Text;

namespace EventVault.Raft.Tests.Harness;

/// <summary>A property of Raft or a durability rule did not hold.</summary>
internal sealed class SafetyException(string message) : Exception(message);

/// <summary>The text of a failed check; built only when it fails, because checks run after every event.</summary>
[InterpolatedStringHandler]
internal readonly struct BrokenRule
{
    private readonly StringBuilder? _text;
    private readonly string? _plain;

    public BrokenRule(int literalLength, int formattedCount, bool holds) => _text = holds ? null : new StringBuilder(literalLength + (8 * formattedCount));

    private BrokenRule(string text) => _plain = text;

    public static implicit operator BrokenRule(string text) => new(text);

    public void AppendLiteral(string text) => _text?.Append(text);

    public void AppendFormatted<T>(T value) => _text?.Append(value);

    public override string ToString() => _text?.ToString() ?? _plain ?? "";
}
