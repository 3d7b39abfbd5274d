using System.Reflection;

namespace EventVault.FaultLab.Tests;

/// <summary>A folder on an encrypted file system of its own, on a loop device; unmounted when disposed.</summary>
internal sealed class EncryptedVolume : IDisposable
{
    private const long Bytes = 128 * 1024 * 1024;

    private static readonly string FolderKeys = typeof(EncryptedVolume).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "FolderKeys").Value!;

    private readonly string _key;
    private readonly string? _mapped; // Name of the device behind which LUKS encrypts.
    private bool _isMounted;

    private EncryptedVolume(string folder, bool isLuks)
    {
        (Image, Mount, _key) = (Path.Combine(folder, "image"), Directory.CreateDirectory(Path.Combine(folder, "volume")).FullName, Path.Combine(folder, "key"));
        _mapped = isLuks ? $"eventvault-test-{Environment.ProcessId}" : null;
        using var file = File.Create(Image);
        file.SetLength(Bytes);
    }

    /// <summary>What stands on the disk.</summary>
    public string Image { get; }

    /// <summary>Where the file system is mounted; with fscrypt nothing is encrypted but the folder.</summary>
    public string Mount { get; }

    /// <summary>The encrypted folder.</summary>
    public string Folder => _mapped is null ? Path.Combine(Mount, "vault") : Mount;

    /// <summary>An ext4 with a folder that it encrypts; null, and said so: it can't be had here.</summary>
    public static EncryptedVolume? Fscrypt(string folder)
    {
        if (!Tool.CanMount() || !Tool.IsInstalled("mkfs.ext4") || !Tool.IsInstalled("python3"))
        {
            return null;
        }

        var volume = new EncryptedVolume(folder, isLuks: false);
        Tool.MustRun("mkfs.ext4", "-q", "-b", "4096", "-O", "encrypt", volume.Image);
        volume.Attach();
        Directory.CreateDirectory(volume.Folder);
        volume.Unlock();
        return volume;
    }

    /// <summary>An ext4 on a LUKS volume; null, and said so: it can't be had here.</summary>
    public static EncryptedVolume? Luks(string folder)
    {
        if (!Tool.CanMount() || !Tool.IsInstalled("cryptsetup") || !Tool.IsInstalled("mkfs.ext4"))
        {
            return null;
        }

        var volume = new EncryptedVolume(folder, isLuks: true);
        File.WriteAllText(volume._key, "a key of this test's");
        Tool.MustRun("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2", volume.Image, volume._key);
        Tool.MustRun("cryptsetup", "open", "--key-file", volume._key, volume.Image, volume._mapped!);
        Tool.MustRun("mkfs.ext4", "-q", $"/dev/mapper/{volume._mapped}");
        volume.Attach();
        return volume;
    }

    /// <summary>Gives the folder's key to the kernel.</summary>
    public void Unlock() => Tool.MustRun("python3", FolderKeys, "add", Mount, _key, Folder);

    /// <summary>Takes it away: names and content can't be read any more, by nobody.</summary>
    public void Lock() => Tool.MustRun("python3", FolderKeys, "remove", Mount, _key);

    /// <summary>Everything to the disk, and away.</summary>
    public void Detach()
    {
        Tool.MustRun("umount", Mount);
        _isMounted = false;
        if (_mapped is not null)
        {
            Tool.MustRun("cryptsetup", "close", _mapped);
        }
    }

    public void Dispose()
    {
        if (_isMounted)
        {
            Detach();
        }
    }

    private void Attach()
    {
        Tool.MustRun("mount", _mapped is null ? ["-o", "loop", Image, Mount] : [$"/dev/mapper/{_mapped}", Mount]);
        _isMounted = true;
    }
}
