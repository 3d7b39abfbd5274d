using System.Runtime.CompilerServices;

namespace EventVault.Simulation.Checkers;

/// <summary>Checks of rules. What is wrong is put into words only when something is: checks run after every event.</summary>
internal static class Require
{
    /// <exception cref="ViolationException"><paramref name="holds"/> is false.</exception>
    public static void That(string rule, bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] Words what)
    {
        if (!holds)
        {
            throw new ViolationException(rule, what.ToString());
        }
    }

    /// <summary>An interpolated string that is only built when the check fails.</summary>
    [InterpolatedStringHandler]
    internal ref struct Words
    {
        private DefaultInterpolatedStringHandler _text;

        public Words(int literalLength, int formattedCount, bool holds, out bool isWanted)
        {
            isWanted = !holds;
            _text = holds ? default : new DefaultInterpolatedStringHandler(literalLength, formattedCount);
        }

        public void AppendLiteral(string value) => _text.AppendLiteral(value);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public void AppendFormatted<T>(T value, string? format) => _text.AppendFormatted(value, format);

        public override string ToString() => _text.ToStringAndClear();
    }
}
