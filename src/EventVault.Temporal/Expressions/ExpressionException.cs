namespace EventVault.Temporal.Expressions;

/// <summary>A text is not what the expression language knows.</summary>
/// <param name="message">What is wrong and what would be right.</param>
/// <param name="offset">Where, in characters from the text's beginning, from 0.</param>
/// <param name="length">How many characters are concerned; 0 at the text's end.</param>
public sealed class ExpressionException(string message, int offset, int length) : Exception(message)
{
    /// <summary>Where, in characters from the text's beginning, from 0.</summary>
    public int Offset { get; } = offset;

    /// <summary>How many characters are concerned; 0 at the text's end.</summary>
    public int Length { get; } = length;
}
