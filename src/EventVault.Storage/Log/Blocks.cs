namespace EventVault.Storage.Log;

/// <summary>The unit of all writes to a segment, and the alignment of the structures in it.</summary>
internal static class Blocks
{
    /// <summary>4,096 bytes: the page of the cache and the block of the file system, so no write reads first.</summary>
    public const int Size = 4096;

    /// <summary>All structures in a segment begin and end at multiples of 8 bytes.</summary>
    public const int Alignment = 8;

    public static long Floor(long offset) => offset & ~(long)(Size - 1);

    public static long Ceiling(long offset) => (offset + Size - 1) & ~(long)(Size - 1);

    public static int Align(int length) => (length + Alignment - 1) & ~(Alignment - 1);
}
