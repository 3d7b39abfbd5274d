using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace EventVault;

/// <summary>A rule of the program itself was broken: a bug, never bad input or a bad disk.</summary>
internal sealed class InvariantException(string message) : Exception(message);

/// <summary>
/// Checks that stay on in release builds. A failure stops the node: going on with a broken rule could write
/// what can't be taken back.
/// </summary>
internal static class Invariant
{
    /// <summary>Throws <see cref="InvariantException"/> unless <paramref name="condition"/> holds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    [StackTraceHidden]
    public static void Check(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string? text = null,
        [CallerFilePath] string file = "",
        [CallerLineNumber] int line = 0)
    {
        if (!condition)
        {
            Fail(text, file, line);
        }
    }

    [DoesNotReturn]
    [StackTraceHidden]
    private static void Fail(string? text, string file, int line) =>
        throw new InvariantException($"Invariant broken: {text} ({Path.GetFileName(file)}:{line})");
}
