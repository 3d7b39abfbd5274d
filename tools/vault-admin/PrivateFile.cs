namespace EventVault.Admin;

/// <summary>Files that nobody else may read.</summary>
internal static class PrivateFile
{
    /// <summary>Writes a new file that only its owner may read.</summary>
    /// <exception cref="IOException">It is there already, or can't be written.</exception>
    public static async Task WriteAsync(string path, string text, CancellationToken stop)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        await using var file = new StreamWriter(path, options);
        await file.WriteAsync(text.AsMemory(), stop);
    }
}
