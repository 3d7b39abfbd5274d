namespace EventVault.Storage;

/// <summary>
/// Bytes that were durable once are not what was written: damage, told apart from a torn tail. Such bytes are
/// never served and never cut off.
/// </summary>
public sealed class DamageException : IOException
{
    /// <param name="file">Name of the damaged file, without its folder.</param>
    /// <param name="offset">Where in it, in bytes.</param>
    /// <param name="expected">What should stand there.</param>
    /// <param name="next">What to do about it.</param>
    public DamageException(string file, long offset, string expected, string next)
        : base($"{file}, offset {offset}: {expected} {next}")
    {
        File = file;
        Offset = offset;
        Expected = expected;
    }

    /// <summary>Name of the damaged file, without its folder.</summary>
    public string File { get; }

    /// <summary>Where in the file, in bytes.</summary>
    public long Offset { get; }

    /// <summary>What should stand there.</summary>
    public string Expected { get; }
}
