namespace EventVault.FaultLab.Machine;

/// <summary>A disk of a few MiB for one node, and a file that fills it.</summary>
internal sealed class SmallDisk
{
    private readonly string _folder;
    private readonly string _filler;

    private SmallDisk(string folder) => (_folder, _filler) = (folder, Path.Combine(folder, "filler"));

    /// <summary>Mounts it; the mount goes away with this program's mount namespace.</summary>
    public static async Task<SmallDisk> MountAsync(string folder, int mebibytes)
    {
        Directory.CreateDirectory(folder);
        await Command.RunAsync("mount", "-t", "tmpfs", "-o", $"size={mebibytes}m", "tmpfs", folder);
        return new SmallDisk(folder);
    }

    /// <summary>Takes the room that is left.</summary>
    public void Fill()
    {
        using var file = new FileStream(_filler, FileMode.Append);
        var piece = new byte[4 << 10];
        try
        {
            while (true)
            {
                file.Write(piece);
                file.Flush();
            }
        }
        catch (IOException)
        {
            // Full: that is what was wanted.
        }
    }

    /// <summary>Takes the mount away, with all that is on it.</summary>
    public Task UnmountAsync() => Command.RunAsync("umount", "-l", _folder);

    /// <summary>Gives the room back.</summary>
    public void Free() => File.Delete(_filler);
}
