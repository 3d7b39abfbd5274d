namespace EventVault.Storage.Index;

/// <summary>
/// The heads of the segment that is being applied, sorted by key: readers look here before the slots that are
/// being written. Never changed once published.
/// </summary>
internal static class HeadsOverlay
{
    /// <summary>A copy in key order, which is slot order too; checks what must hold of each head.</summary>
    public static KeyValuePair<UInt128, StreamHead>[] Sort(ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> heads, uint segment)
    {
        KeyValuePair<UInt128, StreamHead>[] sorted = heads.ToArray();
        if (!IsSorted(sorted))
        {
            // By key alone: moving the heads along at every step of a sort would cost more than the rest of it.
            UInt128[] keys = Array.ConvertAll(sorted, pair => pair.Key);
            var order = new int[keys.Length];
            for (int i = 0; i < order.Length; i++)
            {
                order[i] = i;
            }

            Array.Sort(keys, order);
            for (int i = 0; i < order.Length; i++)
            {
                sorted[i] = heads[order[i]];
            }
        }

        for (int i = 0; i < sorted.Length; i++)
        {
            StreamHead head = sorted[i].Value;
            Invariant.Check(i == 0 || sorted[i - 1].Key < sorted[i].Key);
            Invariant.Check(head.Latest.Segment == segment && head.Latest.Exists);
            Invariant.Check(head.Jump.Depth == StreamChain.JumpDepth(head.Latest.Depth));
            Invariant.Check(head.JumpOfJump.Depth == StreamChain.JumpDepth(head.Jump.Depth));
            Invariant.Check(head.LastVersion >= 0 && head.LastPosition >= head.LastVersion);
        }

        return sorted;
    }

    public static bool TryGet(KeyValuePair<UInt128, StreamHead>[] sorted, UInt128 key, out StreamHead head)
    {
        int low = 0;
        int high = sorted.Length - 1;
        while (low <= high)
        {
            int middle = low + ((high - low) / 2);
            UInt128 found = sorted[middle].Key;
            if (found == key)
            {
                head = sorted[middle].Value;
                return true;
            }

            if (found < key)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        head = StreamHead.None;
        return false;
    }

    private static bool IsSorted(KeyValuePair<UInt128, StreamHead>[] heads)
    {
        for (int i = 1; i < heads.Length; i++)
        {
            if (heads[i - 1].Key >= heads[i].Key)
            {
                return false;
            }
        }

        return true;
    }
}
