#!/bin/sh
# Measure saliency methods on the transformer that train_vit.py has left: measure.sh VIT.pth OUT [COUNT]
# Pictures of seed 30011, which took part in no training. First each method's heatmap, cut at 0.35;
# then the masks of the default prompts and segmenter. Beside them Grad-CAM on segkit's own `shapes`.
set -eu
vit=$1 out=$2 count=${3:-200}
methods=gradcam,legrad,tokencut,chefer,rollout,dino-attention
own=""
for name in $(echo "$methods" | tr , " "); do
    own="$own --$name.model timm:test_vit --$name.checkpoint $vit"
done
compare() {
    segkit sweep --dataset shapes --shapes.count "$count" --shapes.seed 30011 --shapes.size 160 \
        --metric iou --metric pointing-game --device cpu --quiet "$@"
}
for segmenter in threshold sam; do
    # shellcheck disable=SC2086
    compare --saliency "$methods" $own --segmenter $segmenter -o "$out/vit-$segmenter"
    compare --gradcam.model shapes --segmenter $segmenter -o "$out/shapes-$segmenter"
done
for table in "$out"/*/leaderboard.csv; do
    echo "$table"
    cat "$table"
done
