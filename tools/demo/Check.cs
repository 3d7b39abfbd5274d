using System.Runtime.CompilerServices;

namespace EventVault.Demo;

/// <summary>What the demo asserts.</summary>
internal static class Check
{
    public static void Equal<T>(T expected, T actual, [CallerArgumentExpression(nameof(actual))] string what = "")
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual))
        {
            throw new BrokenPromiseException($"{what}: expected {expected}, found {actual}.");
        }
    }

    public static void That(bool holds, string what)
    {
        if (!holds)
        {
            throw new BrokenPromiseException(what);
        }
    }
}
