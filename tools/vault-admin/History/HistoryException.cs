namespace EventVault.Admin.History;

/// <summary>A history file is not of the form that import takes.</summary>
internal sealed class HistoryException : Exception
{
    /// <param name="line">1-based line.</param>
    /// <param name="field">The field concerned; null: the whole line.</param>
    /// <param name="what">What is wrong with it.</param>
    /// <param name="inner">How that showed.</param>
    public HistoryException(long line, string? field, string what, Exception? inner = null)
        : base(field is null ? $"Line {line} {what}." : $"Line {line}, field '{field}': {what}.", inner)
    {
        Line = line;
        Field = field;
    }

    /// <param name="message">What is wrong with the file as a whole.</param>
    /// <param name="inner">How that showed.</param>
    public HistoryException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>1-based line; null: the whole file is concerned.</summary>
    public long? Line { get; }

    /// <summary>The field concerned; null: the whole line.</summary>
    public string? Field { get; }
}
