# bigscience-workshop/bigscience, train/tr11-176B-ml/tr11-176B-ml.slurm: BLOOM on 48 nodes of 8 A100, by Megatron-DeepSpeed.
python -m torch.distributed.run --nproc_per_node 8 --nnodes 48 pretrain_gpt.py \
  --tensor-model-parallel-size 4 --pipeline-model-parallel-size 12 \
  --pp-partition-method 'type:transformer|embedding' \
  --num-layers 70 --hidden-size 14336 --num-attention-heads 112 \
  --seq-length 2048 --max-position-embeddings 2048 --position-embedding-type alibi \
  --embed-layernorm --init-method-std 0.0048 --pad-vocab-size-to 250880 \
  --tokenizer-type PretrainedFromHF --bf16 --seed 42 \
  --micro-batch-size 2 --rampup-batch-size 192 16 9_765_625 --global-batch-size 2048 \
  --train-samples 220_000_000 --lr-decay-samples 200_000_000 --lr-warmup-samples 183_105 \
  --optimizer adam --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 \
  --lr 6e-5 --min-lr 6e-6 --lr-decay-style cosine --clip-grad 1.0 --weight-decay 1e-1 \
  --checkpoint-activations --exit-duration-in-mins 5990 \
  --log-interval 1 --save-interval 100 --eval-interval 1000 --eval-iters 1 \
  --num-workers 2 --data-impl mmap --distributed-backend nccl \
  --deepspeed --zero-stage 0 --deepspeed-activation-checkpointing
