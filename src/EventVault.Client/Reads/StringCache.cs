using System.Text;

namespace EventVault.Client;

/// <summary>
/// Strings by their UTF-8 bytes, one per slot: types, tags and the stream at hand repeat from event to event, and
/// making each of them anew was most of a read's garbage. A fixed size; a newcomer takes the slot.
/// </summary>
internal sealed class StringCache
{
    // A vault has some dozens of types and tags; 256 keep collisions rare in 4 KiB.
    private const int Slots = 256;

    // In bytes: as long as a tag may be. Longer strings are names of streams that seldom come again.
    private const int MaxCachedBytes = 128;

    private readonly (byte[] Utf8, string Text)[] _slots = new (byte[], string)[Slots];

    public string Get(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IsEmpty)
        {
            return "";
        }

        if (utf8.Length > MaxCachedBytes)
        {
            return Encoding.UTF8.GetString(utf8);
        }

        ref (byte[] Utf8, string Text) slot = ref _slots[Hash(utf8) & (Slots - 1)];
        if (slot.Utf8 is null || !utf8.SequenceEqual(slot.Utf8))
        {
            slot = (utf8.ToArray(), Encoding.UTF8.GetString(utf8));
        }

        return slot.Text;
    }

    // FNV-1a: short keys, and a collision costs only a string made anew.
    private static uint Hash(ReadOnlySpan<byte> utf8)
    {
        uint hash = 2166136261;
        foreach (byte b in utf8)
        {
            hash = (hash ^ b) * 16777619;
        }

        return hash ^ (hash >> 16);
    }
}
