using System.Buffers.Binary;

namespace EventVault.FaultLab.Machine;

/// <summary>Moves the wall clock of one node (clock.c).</summary>
internal sealed class ClockShim
{
    private readonly string _offset;

    private ClockShim(string library, string offset) => (Library, _offset) = (library, offset);

    /// <summary>For LD_PRELOAD.</summary>
    public string Library { get; }

    /// <summary>For LAB_CLOCK.</summary>
    public string OffsetFile => _offset;

    /// <summary>Builds the library with gcc and makes an offset of zero.</summary>
    public static async Task<ClockShim> BuildAsync(string folder)
    {
        var library = Path.Combine(folder, "clock.so");
        await Command.RunAsync("gcc", "-shared", "-fPIC", "-O1", "-o", library, Path.Combine(AppContext.BaseDirectory, "Machine", "clock.c"), "-ldl");
        var offset = Path.Combine(folder, "clock");
        await File.WriteAllBytesAsync(offset, new byte[sizeof(long)]);
        return new ClockShim(library, offset);
    }

    /// <summary>Sets the clock this far ahead of the machine's, or behind it.</summary>
    public void Set(TimeSpan ahead)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, ahead.Ticks * 100);
        using var file = new FileStream(_offset, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.Write(bytes);
    }
}
