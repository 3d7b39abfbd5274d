namespace EventVault.Node.Metrics;

/// <summary>What the folders of the data directory take on the disk. Looked up at most once a minute, as a large vault has tens of thousands of files. For every thread.</summary>
/// <param name="directory">The data directory.</param>
internal sealed class FolderSizes(string directory)
{
    private static readonly TimeSpan Kept = TimeSpan.FromMinutes(1);
    private static readonly string[] Folders = ["log", "index", Node.StatesFolder];

    private readonly Lock _looking = new();
    private readonly Dictionary<string, long> _sizes = [];
    private long _lookedAt;

    /// <summary>Adds each folder that there is.</summary>
    public void Read(MetricValues values)
    {
        lock (_looking)
        {
            if (_lookedAt == 0 || TimeProvider.System.GetElapsedTime(_lookedAt) > Kept)
            {
                _lookedAt = TimeProvider.System.GetTimestamp();
                Look();
            }

            foreach (var (folder, size) in _sizes)
            {
                values.Add(size, folder);
            }
        }
    }

    private void Look()
    {
        foreach (var folder in Folders)
        {
            var info = new DirectoryInfo(Path.Combine(directory, folder));
            if (info.Exists)
            {
                _sizes[folder] = info.EnumerateFiles().Sum(LengthOf);
            }
        }
    }

    // A file may go between the listing and this.
    private static long LengthOf(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (FileNotFoundException)
        {
            return 0;
        }
    }
}
